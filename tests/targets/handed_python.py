"""Answers GET /work?id=N&shape=S by a call to a back, made by whoever gets hold of it: queues don't hold work alone.

Usage: handed_python.py PORT BACK threads|loop. Calls with the id 999999 are made for no request. Shapes, with threads:

    pooled      by the handler, on a connection from a queue of connections
    borrower    by a worker, on a connection from the same queue
    batch       by a worker that collects jobs while there are any
    patient     by a worker that collects some for a while
    prefetch    by a worker that fetches the next job before it does one
    requeue     by a worker that puts each job back once
    flush       by a worker that makes a call of its own where there is nothing to do
    lazy        by a pool that grows: a deque, and a condition
    drain       by a thread that is started when there is none, and ends when there is nothing left
    lent        by a thread that is started for it, on a connection from the queue of connections
    grown       by a pool that grows: a queue.Queue
    later       by a worker, after the answer
    raising     by a worker whose jobs fail
    sentinel    by workers that are told to pass on, now and then, that there is nothing to do

and on a loop: apooled, aborrower, abatch, arequeue, agrown (consumers made by the first requests), atimed (which wait
for some time at most), abackground (a consumer that goes on with something else while a job is done), acancelled (the
handler gives up, or the job).
"""

import asyncio
import collections
import contextlib
import http.client
import http.server
import queue
import re
import sys
import threading
import urllib.parse

PORT, BACK, SERVER = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
SHAPES = {}


def shape(function):
    SHAPES[function.__name__] = function
    return function


# -- threads


def connect():
    return http.client.HTTPConnection("127.0.0.1", BACK)


def ask(connection, path):
    connection.request("GET", path)
    return connection.getresponse().read()


def call(path):
    connection = connect()
    try:
        return ask(connection, path)
    finally:
        connection.close()


ERRAND = "/leaf?id=999999&shape=errand"
ERRANDS = iter(range(300))


def errand():
    if next(ERRANDS, None) is not None:
        call(ERRAND)


CONNECTIONS = queue.Queue()
for _ in range(6):
    CONNECTIONS.put(connect())


def borrowing(path):
    connection = CONNECTIONS.get()
    try:
        ask(connection, path)
    finally:
        CONNECTIONS.put(connection)


class Job:
    def __init__(self, path):
        self.path = path
        self.done = threading.Event()
        self.again = True

    def do(self, function=call):
        function(self.path)
        self.done.set()


def started(function, count=3):
    jobs = queue.Queue()
    for _ in range(count):
        threading.Thread(target=function, args=(jobs,), daemon=True).start()
    return jobs


def handing(jobs):
    def hand(path):
        job = Job(path)
        jobs.put(job)
        job.done.wait()

    return hand


def borrower(jobs):
    while True:
        jobs.get().do(borrowing)


def batch(jobs):
    while True:
        batch = [jobs.get()]
        while len(batch) < 4:
            try:
                batch.append(jobs.get_nowait())
            except queue.Empty:
                break
        for job in batch:
            job.do()


def patient(jobs):
    while True:
        batch = []
        while len(batch) < 3:
            try:
                batch.append(jobs.get(timeout=0.005))
            except queue.Empty:
                if batch:
                    break
        for job in batch:
            job.do()


def prefetch(jobs):
    following = None
    while True:
        job = following or jobs.get()
        try:
            following = jobs.get_nowait()
        except queue.Empty:
            following = None
        job.do()


def requeue(jobs):
    while True:
        job = jobs.get()
        if job.again:
            job.again = False
            jobs.put(job)
        else:
            job.do()


def flush(jobs):
    while True:
        try:
            jobs.get(timeout=0.003).do()
        except queue.Empty:
            errand()


def raising(jobs):
    while True:
        job = jobs.get()
        try:
            call(job.path)
            raise ValueError(job)
        except ValueError:
            job.done.set()


def sentinel(jobs):
    while True:
        job = jobs.get()
        if job is None:
            if jobs.qsize() > 8:
                jobs.put(None)
        else:
            job.do()
            if job.path.endswith("7&shape=sentinel"):
                jobs.put(None)


for function in (borrower, batch, patient, prefetch, requeue, flush, raising, sentinel):
    SHAPES[function.__name__] = handing(started(function))
LATER = started(borrower)


@shape
def pooled(path):
    borrowing(path)


@shape
def later(path):
    LATER.put(Job(path))


class Grown:
    """A pool that grows while it is busy, as programs write it."""

    def __init__(self, most):
        self.jobs = collections.deque()
        self.changed = threading.Condition()
        self.threads = self.idle = 0
        self.most = most

    def hand(self, path):
        job = Job(path)
        with self.changed:
            self.jobs.append(job)
            if self.idle:
                self.changed.notify()
            elif self.threads < self.most:
                self.threads += 1
                threading.Thread(target=self.work, daemon=True).start()
        job.done.wait()

    def work(self):
        while True:
            with self.changed:
                self.idle += 1
                while not self.jobs:
                    if not self.changed.wait(0.01) and not self.jobs:
                        self.idle -= 1
                        self.threads -= 1
                        return
                self.idle -= 1
                job = self.jobs.popleft()
            job.do()


LAZY = Grown(8)
SHAPES["lazy"] = LAZY.hand
DRAINED = collections.deque()
DRAINING = threading.Lock()


def draining():
    with DRAINING:
        while DRAINED:
            DRAINED.popleft().do()


@shape
def drain(path):
    job = Job(path)
    DRAINED.append(job)
    while not job.done.is_set():
        if not DRAINING.locked():
            threading.Thread(target=draining).start()
        job.done.wait(0.01)


@shape
def lent(path):
    thread = threading.Thread(target=borrowing, args=(path,))
    thread.start()
    thread.join()


GROWN = queue.Queue()
GROWING = threading.BoundedSemaphore(8)


def growing():
    try:
        while True:
            GROWN.get(timeout=0.01).do()
    except queue.Empty:
        GROWING.release()


@shape
def grown(path):
    job = Job(path)
    GROWN.put(job)
    while not job.done.is_set():
        if GROWING.acquire(blocking=False):
            threading.Thread(target=growing, daemon=True).start()
        job.done.wait(0.01)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = self.path.partition("?")[2]
        SHAPES[urllib.parse.parse_qs(query)["shape"][0]](f"/leaf?{query}")
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


# -- a loop


async def aask(connection, path):
    reader, writer = connection
    writer.write(f"GET {path} HTTP/1.1\r\nHost: back\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(re.search(rb"content-length:\s*(\d+)", head, re.I)[1]))


async def acall(path):
    reader, writer = await asyncio.open_connection("127.0.0.1", BACK)
    await aask((reader, writer), path)
    writer.close()


class Loop:
    def __init__(self):
        self.tasks = set()
        self.connections = asyncio.Queue()
        self.made = 0
        self.jobs = {}
        for name in ("aborrower", "abatch", "arequeue", "atimed", "abackground"):
            self.jobs[name] = asyncio.Queue()
            for _ in range(3):
                self.start(getattr(self, name)(self.jobs[name]))
        self.jobs["acancelled"] = asyncio.PriorityQueue()
        for _ in range(3):
            self.start(self.acancelled(self.jobs["acancelled"]))
        self.jobs["agrown"] = asyncio.Queue()
        self.growing = 0

    def start(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def borrowing(self, path):
        """Connections are made when they are needed, six at most."""
        if self.connections.empty() and self.made < 6:
            self.made += 1
            connection = await asyncio.open_connection("127.0.0.1", BACK)
        else:
            connection = await self.connections.get()
        try:
            await aask(connection, path)
        finally:
            self.connections.put_nowait(connection)

    async def aerrand(self):
        if next(ERRANDS, None) is not None:
            await acall(ERRAND)

    async def aborrower(self, jobs):
        while True:
            path, done = await jobs.get()
            await self.borrowing(path)
            done.set_result(None)

    async def abatch(self, jobs):
        while True:
            batch = [await jobs.get()]
            while len(batch) < 4 and not jobs.empty():
                batch.append(jobs.get_nowait())
            for path, done in batch:
                await acall(path)
                done.set_result(None)

    async def arequeue(self, jobs):
        seen = set()
        while True:
            job = await jobs.get()
            if job[0] not in seen:
                seen.add(job[0])
                jobs.put_nowait(job)
                await asyncio.sleep(0)
                continue
            await acall(job[0])
            if not job[1].done():
                job[1].set_result(None)

    async def atimed(self, jobs):
        while True:
            try:
                path, done = await asyncio.wait_for(jobs.get(), 0.005)
            except asyncio.TimeoutError:  # noqa: UP041 - another one before Python 3.11
                await self.aerrand()
                continue
            await acall(path)
            done.set_result(None)

    async def abackground(self, jobs):
        async def do(path, done):
            await asyncio.sleep(0.002)
            await acall(path)
            done.set_result(None)

        while True:
            self.start(do(*await jobs.get()))
            await asyncio.sleep(0)
            if jobs.empty():
                await self.aerrand()

    async def agrow(self, jobs):
        while True:
            path, done = await jobs.get()
            await acall(path)
            done.set_result(None)

    async def acancelled(self, jobs):
        while True:
            path, _, done = await jobs.get()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(acall(path), 0.004)
            if not done.done():
                done.set_result(None)

    async def cancelled(self, path):
        done = asyncio.get_running_loop().create_future()
        self.jobs["acancelled"].put_nowait((path, id(done), done))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(done, 0.005)

    async def work(self, path, shape):
        if shape == "apooled":
            await self.borrowing(path)
            return
        if shape == "acancelled":
            await self.cancelled(path)
            return
        if shape == "agrown" and self.growing < 3:
            self.growing += 1
            self.start(self.agrow(self.jobs[shape]))
        done = asyncio.get_running_loop().create_future()
        self.jobs[shape].put_nowait((path, done))
        await done


async def serve():
    loop = Loop()

    async def connection(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                query = head.split(" ", 2)[1].partition("?")[2]
                await loop.work(f"/leaf?{query}", query.rpartition("shape=")[2])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    await asyncio.start_server(connection, "127.0.0.1", PORT, backlog=1024)
    await asyncio.Event().wait()


if SERVER == "threads":
    Server(("127.0.0.1", PORT), Handler).serve_forever()
else:
    asyncio.run(serve())
