// Front: net/http with a pooled client. Usage: front_go PORT BACKPORT.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	http.HandleFunc("/work", func(response http.ResponseWriter, request *http.Request) {
		answer, err := client.Get("http://127.0.0.1:" + os.Args[2] + "/leaf?" + request.URL.RawQuery)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		fmt.Fprintf(response, "[%s]", body)
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
