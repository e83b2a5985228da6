// Front: net/http with a pooled client. Usage: front PORT BACKPORT [-sdk]; the last has it trace itself by hand.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

const millisecond = 920000 // rounds of the loop that take about 1 ms of CPU time: see bench/apps.py

type path struct {
	call   string
	rounds int
}

var paths = map[string]path{
	"/work":  {"/leaf", 0},
	"/cpu":   {"/leaf", millisecond},
	"/io":    {"/wait", 0},
	"/mixed": {"/wait", millisecond / 2},
}

var sink uint32

//go:noinline
func spin(rounds int) uint32 {
	value := uint32(1)
	for range rounds {
		value = value*1664525 + 1013904223
	}
	return value
}

func hello(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("Content-Type", "text/plain")
	io.WriteString(response, "hello")
}

// ask makes the handler of a path: it spins, then asks the back.
func ask(client *http.Client, back string, asked path) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		spin(asked.rounds)
		url := back + asked.call + "?" + request.URL.RawQuery
		call, err := http.NewRequestWithContext(request.Context(), http.MethodGet, url, nil)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := client.Do(call)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		response.Header().Set("Content-Type", "application/json")
		response.WriteHeader(answer.StatusCode)
		io.Copy(response, answer.Body)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	if len(os.Args) == 2 { // calibration
		rounds, _ := strconv.Atoi(os.Args[1])
		sink = spin(rounds)
		return
	}
	transport, finish := http.RoundTripper(&http.Transport{MaxIdleConnsPerHost: 256}), func(context.Context) error { return nil }
	handler := http.NewServeMux()
	if len(os.Args) == 4 && os.Args[3] == "-sdk" {
		var err error
		if finish, err = startSDK(); err != nil {
			fail(err)
		}
		transport = tracedTransport(transport)
	}
	client := &http.Client{Transport: transport}
	handler.HandleFunc("/hello", hello)
	for name, asked := range paths {
		handler.HandleFunc(name, ask(client, "http://127.0.0.1:"+os.Args[2], asked))
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: handler}
	if len(os.Args) == 4 {
		server.Handler = tracedHandler(handler)
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ended.Done()
		finish(context.Background())
		server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fail(err)
	}
}
