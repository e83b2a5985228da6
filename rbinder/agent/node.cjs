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
  const { begun, bind, numbered, open, sweep, told, wrap } = addon.exports;
  const { subscribe, unsubscribe } = require("node:diagnostics_channel");
  if (!wrap || !subscribe) return;

  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn } = Object;
  const openTelemetry = Symbol.for("opentelemetry.js.api.1"); // where @opentelemetry/api keeps what is registered
  let asyncHooks, plainAgents;
  let storage; // knows the number of the request that is being served, or undefined

  // -- requests have numbers, which count up and are never used again. Each has its place by its last bits (src/node.c: PLACES).

  const PLACES = 1 << 16;
  const LAST = PLACES - 1;
  const SWEPT = 64; // places that are looked at together, for requests that are over (src/node.c)
  const EARLIER = 256; // one that began so many requests ago is likely to be
  const TRIES = 64;
  let numbers, latest; // in its place the number of a request that may be open yet

  // undefined: there is none, or no place for it.
  function begin(descriptor) {
    if ((latest + 1) % SWEPT === 0 && latest > EARLIER) sweep(latest + 1 - EARLIER);
    for (let tries = 0; tries < TRIES; tries++) {
      latest++;
      const other = numbers[latest & LAST];
      if (other === 0 || !open(other)) return begun(descriptor, latest) ? latest : undefined;
    }
    return undefined;
  }

  function isOpen(number) {
    const place = number & LAST;
    if (numbers[place] !== number) return false;
    if (open(number)) return true;
    numbers[place] = 0;
    return false;
  }

  // -- what runs for whom

  // Before Node 24 an AsyncLocalStorage leaves a frame of Node's own in stack traces, and a property in each resource. The
  // ids of what is asynchronous do without. They count up and are never used again, so each has its place by its last bits; one
  // that has to give way while its request is open is kept apart. All of it is memory that stays: what lived as long as a
  // request would outlive the collector's young generation, and be copied.
  const FEW = 1 << 10;
  const MOST_OF_ONE = 1 << 12;
  const MOST_APART = 1 << 18; // beyond that it isn't known any more whose they are

  class Ids {
    #ids = new Float64Array(PLACES);
    #owners = new Float64Array(PLACES); // of an id: its request's number; 0: none
    #kept = new Uint16Array(PLACES); // of an open request: how many are apart
    #apart = new Map(); // of an id: its request's number
    #room = FEW; // so many apart, then those of requests that are over are looked for
    #hook;

    constructor() {
      const { executionAsyncId } = asyncHooks;
      const init = (id) => {
        const number = this.#owner(executionAsyncId());
        if (number !== 0 && numbers[number & LAST] === number) this.#own(id, number);
      };
      this.#hook = asyncHooks.createHook({ init }).enable();
    }

    #owner(id) {
      const place = id & LAST;
      if (this.#ids[place] === id) return this.#owners[place];
      return this.#apart.size > 0 ? this.#apart.get(id) || 0 : 0;
    }

    #own(id, number) {
      const place = id & LAST;
      const former = this.#owners[place];
      if (former !== 0 && this.#ids[place] !== id && isOpen(former)) this.#keep(this.#ids[place], former);
      this.#ids[place] = id;
      this.#owners[place] = number;
    }

    getStore() {
      const number = this.#owner(asyncHooks.executionAsyncId());
      return number !== 0 && numbers[number & LAST] === number ? number : undefined;
    }

    enterWith(number) {
      const id = asyncHooks.executionAsyncId();
      if (this.#apart.size > 0) this.#apart.delete(id);
      if (number !== undefined) this.#kept[number & LAST] = 0;
      this.#own(id, number ?? 0);
    }

    // Of one request's those that came first: a timer it waits for rather than the last of a million promises.
    #keep(id, number) {
      if (this.#kept[number & LAST] === MOST_OF_ONE) return;
      this.#kept[number & LAST]++;
      this.#apart.set(id, number);
      if (this.#apart.size < this.#room) return;
      for (const [other, whose] of this.#apart) if (!isOpen(whose)) this.#apart.delete(other);
      this.#room = 2 * this.#apart.size + FEW;
      if (this.#room > MOST_APART) this.#apart.clear();
    }

    disable() {
      this.#hook.disable();
      numbers.fill(0);
      this.#apart.clear();
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

  const connecting = new WeakMap(); // whom their first request is for. It may be given up, and another come in its place.
  let plainWrites, writes; // net.Socket's own _writeGeneric; the same with firstWrite() before it

  function say(socket, whose) {
    const descriptor = socket._handle?.fd;
    if (descriptor >= 0) bind(descriptor, whose);
  }

  // A descriptor there is only when it is connected, and then the head is written at once.
  function sayLater(socket, whose) {
    connecting.set(socket, whose);
    if (socket._writeGeneric === plainWrites)
      defineProperty(socket, "_writeGeneric", { value: writes, configurable: true, writable: true, enumerable: false });
  }

  function forgetLater(socket) {
    const whose = connecting.get(socket);
    if (connecting.delete(socket)) socket._writeGeneric = plainWrites; // to delete it would make all of the object slow
    return whose;
  }

  function firstWrite(socket) {
    if (!socket.connecting && connecting.has(socket)) say(socket, forgetLater(socket));
  }

  // -- node:http, and what is built on it

  // What it has to wait for, Node does on its behalf. An agent of the program's own may take a connection from anywhere: what
  // runs then says nothing, and for whom a request is has to be known when the agent is asked for it.
  function asked(agent, request) {
    if (storage) created(request, storage.getStore());
  }

  // node:https is loaded by whom it serves alone: to load it costs each request over node:http a quarter of its time.
  function isPlainAgent(prototype) {
    if (prototype === plainAgents[0] || prototype === plainAgents[1]) return true;
    if (plainAgents.length > 1 || !process.moduleLoadList.includes("NativeModule https")) return false;
    plainAgents.push(require("node:https").Agent.prototype);
    return prototype === plainAgents[1];
  }

  // Asked twice for each request: reading by name is what costs least.
  function isPlain(agent) {
    const prototype = getPrototypeOf(agent);
    return (
      isPlainAgent(prototype) &&
      agent.createConnection === prototype.createConnection &&
      agent.createSocket === prototype.createSocket &&
      agent.keepSocketAlive === prototype.keepSocketAlive &&
      agent.removeSocket === prototype.removeSocket &&
      agent.reuseSocket === prototype.reuseSocket &&
      !hasOwn(agent, "addRequest")
    );
  }

  // It has its connection, and its head is written at once.
  function assigned(request) {
    const { agent, socket } = request;
    if (!storage || !socket) return;
    const whose = isKnown(request) ? taken(request) : !agent || isPlain(agent) ? storage.getStore() : undefined;
    if (socket.connecting) {
      sayLater(socket, whose);
      return;
    }
    if (socket._writeGeneric === writes) forgetLater(socket);
    say(socket, whose);
  }

  // Reading object.name calls one first, as a function that did so when it is called would be slower, or show in stack traces.
  function onReading(object, name, read) {
    defineProperty(object, name, {
      get: read,
      set(value) {
        defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
      },
      enumerable: hasOwn(object, name) && Object.prototype.propertyIsEnumerable.call(object, name),
      configurable: true,
    });
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
    for (let object = instance; object && object !== Object.prototype; object = getPrototypeOf(object))
      if (hasOwn(object, "dispatch")) found.push(object);
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
    plainAgents = [Agent.prototype];
    const { Socket } = require("node:net");
    numbers = new Float64Array(PLACES);
    latest = 0;
    numbered(numbers);
    storage = parseInt(process.versions.node) < 24 ? new Ids() : new asyncHooks.AsyncLocalStorage();
    plainWrites = Socket.prototype._writeGeneric;
    writes = before(firstWrite, Socket.prototype, "_writeGeneric");
    const addRequest = Agent.prototype.addRequest;
    const askedFirst = before(asked, Agent.prototype, "addRequest");
    onReading(Agent.prototype, "addRequest", function () {
      return isPlain(this) ? addRequest : askedFirst;
    });
    const outgoing = getPrototypeOf(ClientRequest.prototype);
    onReading(ClientRequest.prototype, "_flush", function () {
      try {
        assigned(this);
      } catch {}
      return outgoing._flush;
    });
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
    storage.enterWith(begin(socket._handle?.fd ?? -1));
  });
  subscribe("http.server.request.start", started);
})();
