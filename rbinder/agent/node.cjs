// Node's bridge: keeps the request that is being served as an AsyncLocalStorage does, and tells the agent in this process, before
// a request is sent, for which one that is. Node loads it before the program (src/node.c). It does nothing before the first
// request has come, never throws, prints nothing, and leaves nothing where programs look: what has to be done before a
// function of Node's is done by one that doesn't show in stack traces, and no listener is added.
"use strict";

(() => {
  const preloaded = Object.getOwnPropertyDescriptor(process, "_preload_modules");
  if (preloaded?.configurable && Array.isArray(preloaded.value)) {
    const value = preloaded.value.filter((path) => path !== __filename); // a copy: Node is going through this one
    Object.defineProperty(process, "_preload_modules", { ...preloaded, value });
  }
  delete require.cache[__filename];

  const addon = { exports: {} };
  try {
    process.dlopen(addon, `${__dirname}/agent-${{ x64: "x86_64", arm64: "aarch64" }[process.arch]}.so`);
  } catch {
    return;
  }
  const { begun, bind, open, told, wrap } = addon.exports;
  const { subscribe, unsubscribe } = require("node:diagnostics_channel");
  if (!wrap || !subscribe) return;

  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const openTelemetry = Symbol.for("opentelemetry.js.api.1"); // where @opentelemetry/api keeps what is registered
  let asyncHooks;
  let storage; // knows the task that is running: a number of the agent's, or undefined

  // -- what runs for whom

  // Before Node 24 an AsyncLocalStorage leaves a frame of Node's own in stack traces, and a property in each resource. The
  // ids of what is asynchronous do without. They are never used again; those of a task are forgotten when it is over.
  class Ids {
    #served = new Map(); // of an id: {whose, ids}
    #requests = [];
    #room = 256; // so many requests, then those that are over are looked for
    #hook;

    constructor() {
      const served = this.#served;
      const { executionAsyncId } = asyncHooks;
      const init = (id) => {
        const request = served.get(executionAsyncId());
        if (request === undefined || request.ids.length > 1 << 16 || served.size > 1 << 22) return;
        served.set(id, request);
        request.ids.push(id);
      };
      this.#hook = asyncHooks.createHook({ init }).enable();
    }

    getStore() {
      return this.#served.get(asyncHooks.executionAsyncId())?.whose;
    }

    enterWith(whose) {
      const id = asyncHooks.executionAsyncId();
      if (whose === undefined) {
        this.#served.delete(id);
        return;
      }
      const request = { whose, ids: [id] };
      this.#served.set(id, request);
      if (this.#requests.push(request) >= this.#room) this.#forget();
    }

    #forget() {
      const still = [];
      for (const request of this.#requests)
        if (open(request.whose)) still.push(request);
        else for (const id of request.ids) if (this.#served.get(id) === request) this.#served.delete(id);
      this.#requests = still;
      this.#room = Math.max(256, 2 * still.length);
    }

    disable() {
      this.#hook.disable();
      this.#served.clear();
    }
  }

  // -- for whom a request is that has not got its connection yet. Few wait for it: the last one is at hand.

  const waiting = new WeakMap();
  let last, task;

  function created(request, whose) {
    if (last !== undefined) waiting.set(last, task);
    last = request;
    task = whose;
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
    if (storage) created(request, storage.getStore());
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

  // -- undici, and fetch. A pool whose connections are busy keeps {options, handler}, and makes the request of it later, in
  // passing, while something else runs: so for whom a request is has to be known when it is dispatched. Dispatchers pass
  // both on to each other; new handlers may come in between.

  const dispatches = new WeakMap(); // of a handler or of options: {dispatcher, whose}
  const watched = new Set(); // what dispatchers have in common, in each copy of undici

  function dispatched(dispatcher, options, handler) {
    if (!storage || !handler) return;
    const whose = storage.getStore();
    const known = dispatches.get(handler);
    if (known) {
      if (known.dispatcher === dispatcher && known.whose !== whose) known.whose = undefined; // used for several
      return;
    }
    const found = options && dispatches.get(options);
    if (found && found.dispatcher !== dispatcher) {
      dispatches.set(handler, found);
      return;
    }
    dispatches.set(handler, { dispatcher, whose });
    if (!found && options) dispatches.set(options, { dispatcher, whose });
    else if (found && found.whose !== whose) found.whose = undefined;
  }

  // True: one was found that was not known before.
  function watch(prototype) {
    if (!prototype || watched.has(prototype) || watched.size > 3) return false;
    watched.add(prototype);
    replace(dispatched, prototype, "dispatch");
    return true;
  }

  // The class above the abstract one, where its instances' dispatch() is.
  function dispatching(instance) {
    const found = [];
    for (let object = instance; object && object !== Object.prototype; object = Object.getPrototypeOf(object))
      if (Object.hasOwn(object, "dispatch")) found.push(object);
    return found.at(-2);
  }

  function discover() {
    let news = watch(dispatching(globalThis[Symbol.for("undici.globalDispatcher.1")]));
    const { _cache: modules } = require("node:module");
    for (const path in modules)
      if (path.endsWith("dispatcher-base.js") && path.includes("undici"))
        news = watch(modules[path]?.exports?.prototype) || news;
    return news;
  }

  function whoseRequest(request) {
    const place = Object.getOwnPropertySymbols(request).find((symbol) => symbol.description === "handler");
    const handler = place && request[place];
    const known = handler && dispatches.get(handler);
    if (known) return known.whose;
    if (handler instanceof asyncHooks.AsyncResource) return handler.runInAsyncScope(() => storage.getStore());
    return discover() ? storage.getStore() : undefined; // a copy's first request has waited for nothing
  }

  const channels = {
    "undici:request:create": quietly(({ request }) => created(request, whoseRequest(request))),
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
    asyncHooks = require("node:async_hooks");
    const { Agent, ClientRequest } = require("node:http");
    const { Socket } = require("node:net");
    storage = parseInt(process.versions.node) < 24 ? new Ids() : new asyncHooks.AsyncLocalStorage();
    writes = before(firstWrite, Socket.prototype, "_writeGeneric");
    replace(asked, Agent.prototype, "addRequest");
    replace(assigned, ClientRequest.prototype, "onSocket");
    for (const name in channels) subscribe(name, channels[name]);
    discover();
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
