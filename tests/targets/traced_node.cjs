// Serves a request, and says whether something stands before one of Node's own functions then. With an argument a provider of
// OpenTelemetry's API is registered, as its SDK for Node registers one. Usage: node traced_node.cjs [WITH].
"use strict";

const http = require("node:http");

if (process.argv[2]) globalThis[Symbol.for("opentelemetry.js.api.1")] = { version: "1.9.0", trace: {} };

const server = http.createServer((request, response) => {
  response.end();
  console.log(/native code/.test(http.Agent.prototype.addRequest));
});
server.listen(0, "127.0.0.1", () =>
  http.get({ port: server.address().port, agent: false }, (answer) => answer.resume().on("end", () => server.close())),
);
