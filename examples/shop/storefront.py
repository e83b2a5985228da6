"""The shop's first service: answers GET /cart?item=NAME with what the inventory says. It knows nothing of tracing.

Usage: storefront.py [PORT]; INVENTORY_URL and HOST (the address to listen on) come from the environment.
"""

import http.client
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

INVENTORY = urlsplit(os.environ.get("INVENTORY_URL", "http://127.0.0.1:8081"))
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8080


class Local(threading.local):
    """Each thread's own connection to the inventory, kept alive."""

    def __init__(self) -> None:
        self.inventory = http.client.HTTPConnection(INVENTORY.hostname or "", INVENTORY.port, timeout=10)


local = Local()


def look_up(item: str) -> tuple[int, dict[str, str]]:
    try:
        local.inventory.request("GET", f"/items/{quote(item)}")
        response = local.inventory.getresponse()
        return response.status, json.load(response)
    except (OSError, http.client.HTTPException):
        local.inventory.close()  # the next request opens it anew
        return 502, {"error": "the inventory doesn't answer"}


class Storefront(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/cart":
            status, answer = look_up(parse_qs(parts.query).get("item", ["tea"])[0])
        else:
            status, answer = 404, {"error": "there is only /cart?item=NAME"}
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    Server((os.environ.get("HOST", "127.0.0.1"), PORT), Storefront).serve_forever()
