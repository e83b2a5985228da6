// Tells what a program can see of what was loaded before it: the same whether there was anything or not. It serves a request,
// makes calls meanwhile in several ways, and prints a line for each thing it looked at. Usage: node seen_node.cjs.
"use strict";

const async_hooks = require("node:async_hooks");
const http = require("node:http");
const net = require("node:net");

const seen = [];
const tell = (what, value) => seen.push(`${what}: ${JSON.stringify(value)}`);
const frames = (error) => error.stack.split("\n").slice(1).map((line) => line.trim().replace(/:\d+:\d+/, ""));

process.on("warning", (warning) => tell("warning", String(warning)));

function look(when) {
  tell(`${when} options`, [process.env.NODE_OPTIONS, process.execArgv, process.argv0, process._preload_modules]);
  tell(`${when} environment`, Object.keys(process.env).sort());
  tell(`${when} modules`, [Object.keys(require.cache), module.children.length, module.parent]);
  tell(`${when} globals`, Object.getOwnPropertyNames(globalThis).length);
  tell(`${when} process`, [process.eventNames(), process.getActiveResourcesInfo?.().sort()]);
  tell(`${when} functions`, [
    ...[http.Agent.prototype.addRequest, http.ClientRequest.prototype.onSocket, net.Socket.prototype._writeGeneric],
  ].map((found) => [found.name, found.length]));
  tell(`${when} properties`, [
    ...[http.Agent.prototype, http.ClientRequest.prototype, net.Socket.prototype].map((found) => Object.keys(found)),
  ]);
}

const counts = (emitter) => emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]);

function call(port, options) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: "127.0.0.1", port, path: "/leaf", ...options }, (answer) => {
      tell("answered", [counts(request), counts(answer.socket), Object.keys(answer.socket).length]);
      tell("answer's frames", frames(new Error()));
      answer.resume();
      answer.on("end", resolve);
    });
    request.on("error", reject);
    request.on("socket", (socket) => {
      tell("socket", [counts(socket), counts(request), Object.keys(socket)]);
      socket.on("connect", () => tell("connect's frames", frames(new Error())));
    });
  });
}

const back = http.createServer((request, response) => response.end("leaf"));
const front = http.createServer(async (request, response) => {
  tell("request's frames", frames(new Error()));
  look("while serving");
  const port = back.address().port;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const connecting = (options) => (tell("connection's frames", frames(new Error())), net.connect(options));
  await call(port, { agent });
  await call(port, { agent, headers: { expect: "nothing" } });
  await call(port, { createConnection: connecting });
  agent.destroy();
  tell("storage", [typeof async_hooks.executionAsyncId(), new async_hooks.AsyncLocalStorage().getStore()]);
  response.end("done");
});

process.on("uncaughtException", (error) => tell("uncaught", [error.message, frames(error)]));
look("at first");
back.listen(0, "127.0.0.1", () =>
  front.listen(0, "127.0.0.1", async () => {
    await call(front.address().port, { agent: false });
    look("at last");
    setTimeout(() => {
      console.log(seen.join("\n"));
      process.exit(7);
    }, 20);
  }),
);
