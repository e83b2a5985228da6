"""Takes spans as an OTLP endpoint does, and counts them by who sent them."""

from __future__ import annotations

import gzip
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

DELAY = 0.2  # seconds after which every exporter sends what it has: OTEL_BSP_SCHEDULE_DELAY
QUIET = 1.5  # seconds without a span after which no more are expected
LIMIT = 30.0  # seconds
_KINDS = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)  # some SDKs make others beside these


class Posted(BaseHTTPRequestHandler):
    """A request with spans. Its sender is the first part of the path."""

    protocol_version = "HTTP/1.1"

    @property
    def sender(self) -> str:
        return self.path.split("/")[1]

    def body(self) -> bytes:
        """Unpacked."""
        data = self._read()
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _read(self) -> bytes:
        """Some exporters don't tell its length before."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, status: int) -> None:
        """Without a body."""
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def spans_in(body: bytes) -> Iterator[Span]:
    """Of one request."""
    request = ExportTraceServiceRequest.FromString(body)
    return (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)


class Receiver:
    """An endpoint for each of several senders."""

    def __init__(self) -> None:
        self._bodies: dict[str, list[bytes]] = defaultdict(list)
        self._latest: dict[str, float] = {}
        bodies, latest = self._bodies, self._latest

        class Handler(Posted):
            def do_POST(self) -> None:
                body = self.body()
                if self.path.endswith("/v1/traces"):
                    bodies[self.sender].append(body)
                    latest[self.sender] = time.monotonic()
                self.answer(200)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def endpoint(self, sender: str) -> str:
        """The URL for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}/{_word(sender)}"

    def take(self, sender: str, expected: int | None = None) -> int:
        """How many spans came since the last time: when those that are expected have come, or when no more come."""
        word, began, count = _word(sender), time.monotonic(), 0
        if word not in self._latest:  # it has never sent any
            return 0
        while True:
            quiet = time.monotonic() - max(self._latest[word], began) > QUIET or time.monotonic() - began > LIMIT
            waiting = self._bodies[word]
            while waiting:
                count += _count(waiting.pop())
            if quiet or (expected is not None and count >= expected):
                return count
            time.sleep(0.01)

    def forget(self, sender: str) -> None:
        """What has come until now belongs to nothing that is counted."""
        self._bodies[_word(sender)].clear()


def _word(sender: str) -> str:
    return "".join(letter for letter in sender if letter.isalnum())


def _count(body: bytes) -> int:
    return sum(span.kind in _KINDS for span in spans_in(body))
