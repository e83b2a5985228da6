// Front: one event loop, every way to get from a request to its call. Usage: node shapes_node.cjs PORT BACKPORT CLIENT [HOW].
//
// CLIENT: http, https (its module over plain sockets), fetch, undici, axios, got; HOW: alone, cluster, worker, stress, express, fastify.
"use strict";

const cluster = require("node:cluster");
const fs = require("node:fs/promises");
const http = require("node:http");
const https = require("node:https");
const net = require("node:net");
const { AsyncResource } = require("node:async_hooks");
const { Worker, isMainThread, workerData } = require("node:worker_threads");

const [port, backPort, client, how = "alone"] = isMainThread ? process.argv.slice(2) : workerData;
const origin = `http://127.0.0.1:${backPort}`;

// -- clients: (path, limited) => a promise of the answer

function byModule(module, connect) {
  const agent = new module.Agent({ keepAlive: true });
  const limited = new module.Agent({ keepAlive: true, maxSockets: 3 });
  if (connect) agent.createConnection = limited.createConnection = connect;
  const send = (path, agent) =>
    new Promise((resolve, reject) => {
      const request = module.request({ host: "127.0.0.1", port: Number(backPort), path, agent }, (answer) => {
        const pieces = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("end", () => resolve(Buffer.concat(pieces).toString()));
      });
      request.on("error", reject);
      request.end();
    });
  return (path, isLimited) => send(path, isLimited ? limited : agent);
}

const clients = {
  http: () => byModule(http),
  https: () => byModule(https, (options) => net.connect(options)),
  fetch: () => async (path) => (await fetch(origin + path)).text(),
  undici: () => {
    const { Pool, request } = require("undici");
    const dispatchers = [new Pool(origin, { connections: 64 }), new Pool(origin, { connections: 3 })];
    return async (path, limited) => (await request(origin + path, { dispatcher: dispatchers[Number(!!limited)] })).body.text();
  },
  axios: () => {
    const axios = require("axios");
    const agents = [new http.Agent({ keepAlive: true }), new http.Agent({ keepAlive: true, maxSockets: 3 })];
    return (path, limited) => axios.get(origin + path, { httpAgent: agents[Number(!!limited)] });
  },
  got: () => {
    const got = import("got");
    const agents = [new http.Agent({ keepAlive: true }), new http.Agent({ keepAlive: true, maxSockets: 3 })];
    return async (path, limited) => (await got).got(origin + path, { agent: { http: agents[Number(!!limited)] } }).text();
  },
};

// -- shapes

const sleep = (limit) => new Promise((resolve) => setTimeout(resolve, Math.random() * limit));

// Workers that were started at boot; what a job belongs to goes with it, as in well-kept pools.
const jobs = [];
const idle = [];
function pool(job) {
  return new Promise((resolve, reject) => {
    const bound = AsyncResource.bind(() => job().then(resolve, reject));
    const next = idle.pop();
    if (next) next(bound);
    else jobs.push(bound);
  });
}
async function work() {
  for (;;) await (jobs.shift() ?? (await new Promise((resolve) => idle.push(resolve))))();
}

// -- what goes wrong beside a request: it must change nothing. HOW stress

const disturbances = [
  (path) => clearTimeout(setTimeout(() => http.get(origin + path), 50)),
  () => setImmediate(() => { throw new Error("on purpose"); }),
  () => void Promise.reject(new Error("on purpose")),
  () => {
    const socket = net.connect(Number(backPort), "127.0.0.1", () => socket.destroy());
    socket.on("error", () => {});
  },
  (path, agent) => {
    const request = http.get(origin + path, { agent }, (answer) => answer.destroy());
    request.on("error", () => {});
    setTimeout(() => request.destroy(), Math.random() * 8);
  },
  (path) => {
    const stop = new AbortController();
    fetch(origin + path, { signal: stop.signal }).then((answer) => answer.text()).catch(() => {});
    setTimeout(() => stop.abort(), Math.random() * 8);
  },
  (path, agent) => {
    const stop = new AbortController();
    http.get(origin + path, { agent, signal: stop.signal }, (answer) => answer.resume()).on("error", () => {});
    setTimeout(() => stop.abort(), Math.random() * 8);
  },
];

function disturbing(shapes) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  for (const event of ["uncaughtException", "unhandledRejection"]) process.on(event, () => {});
  let garbage;
  setInterval(() => (garbage = Array.from({ length: 20000 }, () => ({ garbage }))) && (garbage = undefined), 5);
  const disturbed = (shape) => (path) => {
    const disturb = disturbances[Math.floor(Math.random() * disturbances.length)];
    disturb(path.replace(/shape=.*/, "shape=cut"), agent);
    return shape(path);
  };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, disturbed(shape)]));
}

function shapesOf(call) {
  return {
    once: (path) => call(path),
    sleep: async (path) => (await sleep(8), call(path)),
    io: async (path) => (await fs.readFile(__filename), call(path)),
    fan: (path) => Promise.all([call(path), call(path), call(path)]),
    nested: async (path) => (await call(path), call(path)),
    limited: (path) => call(path, true),
    forget: (path) => void call(path).catch(() => {}),
    pool: (path) => pool(() => call(path)),
  };
}

// -- servers: each does work(query) for GET /work, and answers when that is done

const servers = {
  http: (work) => {
    const server = http.createServer(async (request, response) => {
      const query = Object.fromEntries(new URL(request.url, "http://front").searchParams);
      try {
        await work(query);
        response.end("done");
      } catch (error) {
        response.writeHead(500).end(String(error));
      }
    });
    server.listen(Number(port), "127.0.0.1");
  },
  express: (work) => {
    const app = require("express")();
    app.get("/work", (request, response, next) => {
      Promise.resolve(work(request.query)).then(() => response.send("done"), next);
    });
    app.listen(Number(port), "127.0.0.1");
  },
  fastify: (work) => {
    const app = require("fastify")();
    app.get("/work", async (request) => (await work(request.query), "done"));
    app.listen({ port: Number(port), host: "127.0.0.1" });
  },
};

function serve() {
  const quiet = shapesOf(clients[client]());
  const shapes = how === "stress" ? disturbing(quiet) : quiet;
  for (let count = 0; count < 8; count++) work();
  const { [how]: server = servers.http } = servers;
  server(({ id, shape }) => shapes[shape](`/leaf?id=${id}&shape=${shape}`));
}

if (how === "cluster" && cluster.isPrimary) for (let count = 0; count < 2; count++) cluster.fork();
else if (how === "worker" && isMainThread) new Worker(__filename, { workerData: process.argv.slice(2) });
else serve();
