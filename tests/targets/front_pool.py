"""Front: a pool of threads, growing as it serves, makes the calls. Usage: front_pool.py PORT BACKPORT."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

pool = ThreadPoolExecutor(32)
local = threading.local()


def call(number: str) -> str:
    if not hasattr(local, "connection"):
        local.connection = HTTPConnection("127.0.0.1", int(sys.argv[2]))
    local.connection.request("GET", f"/leaf?id={number}")
    return str(local.connection.getresponse().read().decode())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        number = parse_qs(urlsplit(self.path).query)["id"][0]
        body = f"[{','.join(pool.map(call, [number] * 3))}]".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
