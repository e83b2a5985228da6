// Node's bridge: keeps the request that is being served in an AsyncLocalStorage, and tells the agent in this process, before
// a request is sent, for which one that is. Node loads it before the program (src/node.c). It does nothing before the first
// request has come, never throws, prints nothing, and leaves nothing where programs look: what has to be done before a
// function of Node's is done by one that doesn't show in stack traces, and no listener is added.
"use strict";

(() => {
  const preloaded = process._preload_modules;
  if (Array.isArray(preloaded) && preloaded.includes(__filename)) preloaded.splice(preloaded.indexOf(__filename), 1);
  delete require.cache[__filename];

  const addon = { exports: {} };
  try {
    process.dlopen(addon, `${__dirname}/agent-${{ x64: "x86_64", arm64: "aarch64" }[process.arch]}.so`);
  } catch {
    return;
  }
  const { begun, bind, told, wrap } = addon.exports;
  const { subscribe, unsubscribe } = require("node:diagnostics_channel");
  if (!wrap || !subscribe) return;

  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const openTelemetry = Symbol.for("opentelemetry.js.api.1"); // where @opentelemetry/api keeps what is registered
  let storage; // the task that is running: a number of the agent's, or undefined

  // -- for whom a request is that has not got its connection yet. Few wait for it: the last one is at hand.

  const waiting = new WeakMap();
  let last, task;

  function created(request) {
    if (last !== undefined) waiting.set(last, task);
    last = request;
    task = storage.getStore();
  }

  function isKnown(request) {
    return request === last || waiting.has(request);
  }

  function taken(request) {
    if (request === last) {
      last = undefined;
      return task;
    }
    const found = waiting.get(request);
    waiting.delete(request);
    return found;
  }

  // -- connections

  const connecting = new WeakMap(); // whom their first request is for
  let writes; // net.Socket's own, with first_write() before it

  function say(socket, whose) {
    const descriptor = socket._handle?.fd;
    if (descriptor >= 0) bind(descriptor, whose);
  }

  // A descriptor there is only when it is connected, and then the head is written at once.
  function sayLater(socket, whose) {
    connecting.set(socket, whose);
    if (!Object.hasOwn(socket, "_writeGeneric"))
      defineProperty(socket, "_writeGeneric", { value: writes, configurable: true, writable: true, enumerable: false });
  }

  function firstWrite(socket) {
    if (socket.connecting) return;
    delete socket._writeGeneric;
    say(socket, connecting.get(socket));
    connecting.delete(socket);
  }

  // -- node:http, and what is built on it

  // The agent is asked for a connection, which it may have to wait for.
  function asked(agent, request) {
    if (storage) created(request);
  }

  // An agent of the program's own may take it from anywhere: what runs then says nothing.
  function assigned(request, socket) {
    if (!storage) return;
    const own = isKnown(request) || !request.agent;
    const whose = isKnown(request) ? taken(request) : own ? storage.getStore() : undefined;
    if (!socket) return;
    if (socket.connecting) sayLater(socket, whose);
    else say(socket, whose);
  }

  function before(first, object, name) {
    const found = getOwnPropertyDescriptor(object, name);
    const made = wrap(first, found.value, name);
    return defineProperty(made, "length", { value: found.value.length, configurable: true });
  }

  function replace(first, object, name) {
    defineProperty(object, name, { ...getOwnPropertyDescriptor(object, name), value: before(first, object, name) });
  }

  // -- undici, and fetch

  const channels = {
    "undici:request:create": quietly(({ request }) => created(request)),
    // With heads before it that could not be written yet the next head is not this one.
    "undici:client:sendHeaders": quietly(({ request, socket }) => {
      const whose = taken(request);
      say(socket, socket.writableLength > 0 ? undefined : whose);
    }),
  };

  // -- the program

  function quietly(act) {
    return (message) => {
      try {
        act(message);
      } catch {}
    };
  }

  function install() {
    const { AsyncLocalStorage } = require("node:async_hooks");
    const { Agent, ClientRequest } = require("node:http");
    const { Socket } = require("node:net");
    storage = new AsyncLocalStorage();
    writes = before(firstWrite, Socket.prototype, "_writeGeneric");
    replace(asked, Agent.prototype, "addRequest");
    replace(assigned, ClientRequest.prototype, "onSocket");
    for (const name in channels) subscribe(name, channels[name]);
    told(true);
  }

  // The program traces itself: its contexts and its headers are its own.
  function yieldTo() {
    unsubscribe("http.server.request.start", started);
    for (const name in channels) unsubscribe(name, channels[name]);
    told(false);
    storage?.disable();
    storage = undefined;
  }

  const started = quietly(({ socket }) => {
    if (globalThis[openTelemetry]?.trace) {
      yieldTo();
      return;
    }
    if (!storage) install();
    storage.enterWith(begun(socket._handle?.fd ?? -1));
  });
  subscribe("http.server.request.start", started);
})();
