// Front: what is done for a request in ways that a storage of contexts may lose, or keep too long. Each path makes calls to
// BACK/<path>; the answer comes when they were answered, or before. Usage: node late_node.cjs PORT BACKPORT.
"use strict";

const http = require("node:http");
const net = require("node:net");
const { Worker, isMainThread, workerData } = require("node:worker_threads");

const [port, backPort] = (isMainThread ? process.argv.slice(2) : workerData).map(Number);
const agent = new http.Agent({ keepAlive: true });

// One that gives a connection which was made for a call that is given up to the next one, as Node 24's own does.
const keeping = new http.Agent({ keepAlive: true });
keeping.removeAllListeners("free").on("free", (socket) => (kept = socket));
keeping.createConnection = (options) => kept ?? net.connect(options);
let kept, given;

function call(path, then = () => {}) {
  const request = http.get({ host: "127.0.0.1", port: backPort, path, agent }, (answer) => answer.resume().on("end", then));
  request.on("error", then);
}

const paths = {
  // in a listener of the body's, which comes in a packet of its own
  "/body": (request, response) => request.resume().on("end", () => call(request.url, () => response.end())),
  // what is begun for a request, and done after its answer
  "/after": (request, response) => response.end(() => setTimeout(() => call(request.url), 30)),
  // a refresher that lives on, with a connection that was made for a request
  "/refresher": (request, response) => {
    response.on("close", () => setInterval(() => call("/refreshed"), 10).unref());
    call(request.url, () => response.end());
  },
  "/slow": (request, response) => setTimeout(() => call(request.url, () => response.end()), 20),
  // a timer, and then very many things that are asynchronous
  "/many": (request, response) => {
    setTimeout(() => call(request.url, () => response.end()), 20);
    setImmediate(() => {
      for (let count = 0; count < 100_000; count++) Promise.resolve().then(() => {});
    });
  },
  // a connection made for a call that is given up before there is one, and kept for others; the answer comes with the second
  "/given-up": (request, response) => {
    given = response;
    http.get({ host: "127.0.0.1", port: backPort, path: "/never", agent: keeping }).on("error", () => {}).destroy();
  },
  "/kept": (request, response) => {
    const both = () => (response.end(), given.end());
    const sent = http.get({ host: "127.0.0.1", port: backPort, path: request.url, agent: keeping }, (answer) => {
      answer.resume().on("end", both);
    });
    sent.on("error", both);
  },
  // a body that is sent bit by bit: the head goes with the first
  "/upload": (request, response) => {
    const upload = { host: "127.0.0.1", port: backPort, path: request.url, method: "POST", agent };
    const sent = http.request(upload, (answer) => answer.resume().on("end", () => response.end()));
    sent.write("one");
    setTimeout(() => sent.end("two"), 10);
  },
};

if (isMainThread && process.argv[4] === "worker")
  new Worker(__filename, { workerData: process.argv.slice(2, 4), env: { PATH: process.env.PATH }, execArgv: [] });
else
  http
    .createServer((request, response) => paths[request.url.split("?")[0]](request, response))
    .listen(port, "127.0.0.1");
