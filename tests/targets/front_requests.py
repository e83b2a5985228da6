"""Front: http.server with a thread per connection, calling with requests. Usage: front_requests.py PORT BACKPORT."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

BACK = f"http://127.0.0.1:{sys.argv[2]}/leaf"


class Local(threading.local):
    """Each thread's own session, which keeps its connection alive."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False


local = Local()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        _, _, query = self.path.partition("?")
        answer = local.session.get(f"{BACK}?{query}", timeout=20)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
