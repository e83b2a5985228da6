// Front: node:http with a keep-alive agent. Usage: node front.js PORT BACKPORT; node front.js ROUNDS calibrates.
"use strict";

const http = require("node:http");

const MILLISECOND = 920000; // rounds of the loop that take about 1 ms of CPU time: see bench/apps.py
const PATHS = {
  "/work": { call: "/leaf", rounds: 0 },
  "/cpu": { call: "/leaf", rounds: MILLISECOND },
  "/io": { call: "/wait", rounds: 0 },
  "/mixed": { call: "/wait", rounds: MILLISECOND / 2 },
};
let sink = 0;

function spin(rounds) {
  let value = 1;
  for (let i = 0; i < rounds; i++) value = (Math.imul(value, 1664525) + 1013904223) | 0;
  sink = value;
}

function answer(response, status, type, body) {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

function ask(port, agent, path, response) {
  const call = http.get({ host: "127.0.0.1", port, path, agent }, (said) => {
    const pieces = [];
    said.on("data", (piece) => pieces.push(piece));
    said.on("end", () => answer(response, said.statusCode, "application/json", Buffer.concat(pieces)));
  });
  call.on("error", (error) => answer(response, 502, "text/plain", String(error)));
}

function serve(port, back) {
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const [name, query] = request.url.split("?");
    if (name === "/hello") return answer(response, 200, "text/plain", "hello");
    const path = PATHS[name];
    if (!path) return answer(response, 404, "text/plain", "");
    spin(path.rounds);
    ask(back, agent, `${path.call}?${query}`, response);
  });
  server.keepAliveTimeout = 75_000; // ms, for a client that pauses; by default 5 s
  server.listen(port, "127.0.0.1");
}

const [first, back] = process.argv.slice(2).map(Number);
if (back) serve(first, back);
else for (let i = 0; i < 100; i++) spin(first / 100);
