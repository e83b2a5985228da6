// Back: answers after 0-8 ms with the id and the traceparent that came. Usage: node back_jitter.js PORT.
"use strict";

require("node:http")
  .createServer((request, response) => {
    const id = new URL(request.url, "http://back").searchParams.get("id");
    const body = JSON.stringify({ id, traceparent: request.headers.traceparent ?? "" });
    setTimeout(() => response.end(body), Math.random() * 8);
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
