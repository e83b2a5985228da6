"""Answers GET /work?id=N&shape=S by calls to a back end, in the shapes of tests/attribution/rows.py, on an event loop.

Usage: shapes_python.py PORT BACK SERVER [LOOP]. SERVER: streams (asyncio's own, and nothing that has to be installed),
aiohttp, tornado, fastapi (uvicorn, and httpx as its client), syncdef (the same, in functions that run in threads).
LOOP: uvloop.
"""

import asyncio
import concurrent.futures
import contextlib
import http.client
import pathlib
import queue
import re
import sys
import threading

PORT, BACK, SERVER = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
LOOP = sys.argv[4] if len(sys.argv) > 4 else "asyncio"
WORKERS = concurrent.futures.ThreadPoolExecutor(8)
OWN = threading.local()
LATER = set()
JOBS = queue.Queue()  # of threads that were started at boot
AJOBS = []  # asyncio.Queue, of consumers that were


def blocking(path):
    """A call as a thread makes it, on a connection that the thread keeps."""
    if not hasattr(OWN, "connection"):
        OWN.connection = http.client.HTTPConnection("127.0.0.1", BACK)
    OWN.connection.request("GET", path)
    return OWN.connection.getresponse().read()


def worker():
    while True:
        path, done = JOBS.get()
        blocking(path)
        if SERVER == "syncdef":
            done.set_result(None)
        else:
            done.get_loop().call_soon_threadsafe(done.set_result, None)
        JOBS.task_done()


async def consumer(get):
    while True:
        path, done = await AJOBS[0].get()
        await get(path)
        done.set_result(None)


def start_consumers(get):
    AJOBS.append(asyncio.Queue())
    for _ in range(8):
        LATER.add(asyncio.ensure_future(consumer(get)))


def by_thread(path):
    thread = threading.Thread(target=blocking, args=(path,))
    thread.start()
    thread.join()


class Streams:
    """A client of asyncio's streams that keeps its connections; with a limit, so many of them."""

    def __init__(self, limit):
        self.idle = []
        self.limit = asyncio.Semaphore(limit)

    async def get(self, path):
        async with self.limit:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", BACK)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: back\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length:\s*(\d+)", head, re.I)[1]))
            self.idle.append((reader, writer))


async def work(path, shape, clients):
    """Makes the calls of one request."""
    get = clients["limited" if shape == "limited" else "free"].get
    if shape == "sleep":
        await asyncio.sleep(0.002)
    elif shape == "io":
        await asyncio.get_running_loop().run_in_executor(None, pathlib.Path(__file__).read_text)
    if shape == "fan":
        await asyncio.gather(get(path), get(path), get(path))
    elif shape == "forget":
        task = asyncio.ensure_future(get(path))
        LATER.add(task)
        task.add_done_callback(LATER.discard)
    elif shape == "pool":
        await asyncio.get_running_loop().run_in_executor(WORKERS, blocking, path)
    elif shape in ("queue", "aqueue"):
        done = asyncio.get_running_loop().create_future()
        (JOBS if shape == "queue" else AJOBS[0]).put_nowait((path, done))
        await done
    elif shape == "thread":
        await asyncio.get_running_loop().run_in_executor(None, by_thread, path)
    else:
        await get(path)
    if shape == "nested":
        await get(path)


async def serve_streams():
    clients = {"free": Streams(1000), "limited": Streams(3)}
    start_consumers(clients["free"].get)

    async def connection(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                query = head.split(" ", 2)[1].partition("?")[2]
                await work(f"/leaf?{query}", query.rpartition("shape=")[2], clients)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    await asyncio.start_server(connection, "127.0.0.1", PORT, backlog=1024)
    await asyncio.Event().wait()


def run_aiohttp():
    from aiohttp import ClientSession, TCPConnector, web

    class Client:
        def __init__(self, limit):
            self.session = ClientSession(connector=TCPConnector(limit=limit))

        async def get(self, path):
            async with self.session.get(f"http://127.0.0.1:{BACK}{path}") as response:
                await response.read()

    async def start(app):
        app["clients"] = {"free": Client(0), "limited": Client(3)}
        start_consumers(app["clients"]["free"].get)
        yield
        for client in app["clients"].values():
            await client.session.close()

    async def answer(request):
        await work(f"/leaf?{request.query_string}", request.query["shape"], request.app["clients"])
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/work", answer)
    app.cleanup_ctx.append(start)
    web.run_app(app, host="127.0.0.1", port=PORT, print=None, backlog=1024, loop=asyncio.new_event_loop())


async def serve_tornado():
    """Its client keeps what is beyond its limit in a queue of its own."""
    from tornado.httpclient import AsyncHTTPClient
    from tornado.web import Application, RequestHandler

    class Client:
        def __init__(self, limit):
            self.client = AsyncHTTPClient(force_instance=True, max_clients=limit)

        async def get(self, path):
            await self.client.fetch(f"http://127.0.0.1:{BACK}{path}")

    class Work(RequestHandler):
        async def get(self):
            await work(f"/leaf?{self.request.query}", self.get_argument("shape"), clients)
            self.write("done")

    clients = {"free": Client(1000), "limited": Client(3)}
    start_consumers(clients["free"].get)
    Application([("/work", Work)]).listen(PORT, "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


def run_fastapi():
    import httpx
    import uvicorn
    from fastapi import FastAPI, Request

    base = f"http://127.0.0.1:{BACK}"
    clients = {}

    @contextlib.asynccontextmanager
    async def start(app):
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        clients["free"] = httpx.AsyncClient(base_url=base, limits=limits, timeout=60)
        clients["limited"] = httpx.AsyncClient(base_url=base, limits=httpx.Limits(max_connections=3), timeout=60)
        start_consumers(clients["free"].get)
        yield

    app = FastAPI(lifespan=start)

    @app.get("/work")
    async def answer(request: Request, shape: str) -> str:
        await work(f"/leaf?{request.url.query}", shape, clients)
        return "done"

    @app.get("/threads")
    def answer_in_thread(request: Request, shape: str) -> str:
        path = f"/leaf?{request.url.query}"
        if shape == "fan":
            list(WORKERS.map(blocking, [path] * 3))
        elif shape == "forget":
            WORKERS.submit(blocking, path)
        elif shape == "pool":
            WORKERS.submit(blocking, path).result()
        elif shape == "queue":
            done = concurrent.futures.Future()
            JOBS.put((path, done))
            done.result()
        elif shape == "thread":
            by_thread(path)
        else:
            blocking(path)
        if shape == "nested":
            blocking(path)
        return "done"

    async def choose(scope, receive, send):
        if scope["type"] == "http" and SERVER == "syncdef":
            scope["path"] = "/threads"
        await app(scope, receive, send)

    uvicorn.run(choose, host="127.0.0.1", port=PORT, loop=LOOP, log_level="error", backlog=1024)


for _ in range(8):
    threading.Thread(target=worker, daemon=True).start()
if LOOP == "uvloop":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
if SERVER == "streams":
    asyncio.run(serve_streams())
elif SERVER == "aiohttp":
    run_aiohttp()
elif SERVER == "tornado":
    asyncio.run(serve_tornado())
else:
    run_fastapi()
