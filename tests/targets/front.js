// Front: node:http with a keep-alive agent; the handler calls the back at once. Usage: node front.js PORT BACKPORT.
"use strict";

const http = require("node:http");

const [port, backPort] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true });

const server = http.createServer((request, response) => {
  const path = "/leaf" + request.url.slice("/work".length);
  const call = http.get({ host: "127.0.0.1", port: backPort, path, agent }, (answer) => {
    const pieces = [];
    answer.on("data", (piece) => pieces.push(piece));
    answer.on("end", () => {
      const body = Buffer.concat(pieces);
      response.writeHead(answer.statusCode, { "Content-Type": "application/json", "Content-Length": body.length });
      response.end(body);
    });
  });
  call.on("error", (error) => {
    response.writeHead(502);
    response.end(String(error));
  });
});

server.listen(port, "127.0.0.1");
