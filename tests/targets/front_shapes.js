// Front: one event loop, several ways to get from a request to its call. Usage: node front_shapes.js PORT BACKPORT SHAPE.
"use strict";

const http = require("node:http");
const fs = require("node:fs/promises");

const [port, backPort] = process.argv.slice(2, 4).map(Number);
const shape = process.argv[4];
const agent = new http.Agent({ keepAlive: true, maxSockets: shape.endsWith("limited") ? 3 : Infinity });
const sleep = (limit) => new Promise((resolve) => setTimeout(resolve, Math.random() * limit));

function call(id) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: backPort, path: `/leaf?id=${id}`, agent };
    http.get(options, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => resolve(Buffer.concat(pieces).toString()));
    }).on("error", reject);
  });
}

const shapes = {
  once: (id) => call(id).then((one) => [one]),
  sleep: async (id) => (await sleep(8), [await call(id)]),
  file: async (id) => (await fs.readFile(__filename), [await call(id)]),
  fan: (id) => Promise.all([call(id), call(id), call(id)]),
  nested: async (id) => [await call(id), await call(id)],
  limited: async (id) => [await call(id)],
};
shapes["fan-limited"] = shapes.fan;
shapes["nested-limited"] = shapes.nested;

http
  .createServer(async (request, response) => {
    const id = new URL(request.url, "http://front").searchParams.get("id");
    response.end(`[${(await shapes[shape](id)).join(",")}]`);
  })
  .listen(port, "127.0.0.1");
