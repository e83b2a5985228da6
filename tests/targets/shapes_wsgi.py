"""Answers GET /work?id=N&shape=S by calls to a back, in the shapes of tests/attribution/rows.py, to servers of WSGI.

As a program it serves itself, a thread for each connection: shapes_wsgi.py PORT. BACK in the environment is the back's.
"""

import concurrent.futures
import http.server
import os
import pathlib
import queue
import sys
import threading
import time
import urllib.parse

BACK = f"http://127.0.0.1:{os.environ['BACK']}/leaf?"
WORKERS = concurrent.futures.ThreadPoolExecutor(8)
LIMIT = threading.Semaphore(3)
OWN = threading.local()
JOBS = queue.Queue()  # of threads that were started at boot


def call(query):
    """By requests where it is installed, on connections that each thread or greenlet keeps."""
    import requests

    if not hasattr(OWN, "session"):
        OWN.session = requests.Session()
    return OWN.session.get(BACK + query, timeout=60).text


def limited(query):
    with LIMIT:
        call(query)


def fan(query):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(call, [query] * 3))


def worker():
    while True:
        query, done = JOBS.get()
        call(query)
        done.set()
        JOBS.task_done()


def by_queue(query):
    done = threading.Event()
    JOBS.put((query, done))
    done.wait()


def by_thread(query):
    thread = threading.Thread(target=call, args=(query,))
    thread.start()
    thread.join()


for _ in range(8):
    threading.Thread(target=worker, daemon=True).start()

SHAPES = {
    "once": call,
    "sleep": lambda query: (time.sleep(0.002), call(query)),
    "io": lambda query: (pathlib.Path(__file__).read_text(), call(query)),
    "fan": fan,
    "nested": lambda query: (call(query), call(query)),
    "limited": limited,
    "forget": lambda query: WORKERS.submit(call, query),
    "pool": lambda query: WORKERS.submit(call, query).result(),
    "queue": by_queue,
    "thread": by_thread,
}


def app(environ, start_response):
    query = environ["QUERY_STRING"]
    SHAPES[urllib.parse.parse_qs(query)["shape"][0]](query)
    start_response("200 OK", [("Content-Length", "4"), ("Content-Type", "text/plain")])
    return [b"done"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        environ = {"QUERY_STRING": self.path.partition("?")[2]}
        body = app(environ, self.start)
        self.end_headers()
        self.wfile.write(body[0])

    def start(self, status, headers):
        self.send_response(int(status[:3]))
        for name, value in headers:
            self.send_header(name, value)

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
