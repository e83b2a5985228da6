// The shop's second service: answers GET /items/NAME with stock and price. It knows nothing of tracing.
//
// Usage: node inventory.js [PORT]; PRICE_URL and HOST (the address to listen on) come from the environment.
"use strict";

const http = require("node:http");

const STOCK = { tea: 12, coffee: 7, cups: 40 };
const price = process.env.PRICE_URL || "http://127.0.0.1:8082";
const port = Number(process.argv[2] || 8081);
const agent = new http.Agent({ keepAlive: true });

function send(response, status, answer) {
  const body = Buffer.from(JSON.stringify(answer) + "\n");
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
  response.end(body);
}

function withPrice(name, response) {
  const call = http.get(`${price}/price?item=${encodeURIComponent(name)}`, { agent }, (answer) => {
    const pieces = [];
    answer.on("data", (piece) => pieces.push(piece));
    answer.on("end", () => {
      const { cents } = JSON.parse(Buffer.concat(pieces).toString());
      send(response, 200, { item: name, stock: STOCK[name], cents });
    });
  });
  call.on("error", () => send(response, 502, { error: "the price service doesn't answer" }));
}

const server = http.createServer((request, response) => {
  const name = decodeURIComponent(request.url.replace(/^\/items\//, ""));
  if (Object.hasOwn(STOCK, name)) {
    withPrice(name, response);
  } else {
    send(response, 404, { error: `there is no ${name}` });
  }
});

server.listen(port, process.env.HOST || "127.0.0.1");
