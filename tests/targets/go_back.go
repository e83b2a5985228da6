// Back, and a client: net/http in a static binary. Usage: go_back serve PORT | go_back get URL COUNT (ids 1 to COUNT).
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func answer(w http.ResponseWriter, r *http.Request) {
	headers := [][]string{}
	for name, values := range r.Header {
		for _, value := range values {
			headers = append(headers, []string{name, value})
		}
	}
	body, err := json.Marshal(map[string]any{"id": r.URL.Query().Get("id"), "headers": headers})
	if err != nil {
		log.Panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func get(url string, count int) {
	for id := 1; id <= count; id++ {
		response, err := http.Get(url + "?id=" + strconv.Itoa(id))
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			log.Fatal(err)
		}
		_ = response.Body.Close()
		fmt.Println(string(body))
	}
}

func main() {
	if os.Args[1] == "serve" {
		http.HandleFunc("/leaf", answer)
		log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	get(os.Args[2], count)
}
