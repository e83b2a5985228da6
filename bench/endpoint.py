"""An OTLP endpoint that goes away and comes back, and counts each span that it took once.

A request is either taken, counted and answered, or none of these: what it has not answered it has not counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from enum import Enum
from http.server import ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from programs import free_port
from receiver import Posted, spans_in


class State(Enum):
    """What becomes of a request."""

    UP = "up"
    UNAVAILABLE = "unavailable"  # it is answered with 503
    GONE = "gone"  # nothing listens, and connections end


class Endpoint:
    """Senders are the first part of the URL's path. A trace id begins with its load's mark (askers.py)."""

    def __init__(self) -> None:
        self.port = free_port()
        self.spans: Counter[str] = Counter()  # taken, by sender
        self.served: Counter[tuple[str, bytes]] = Counter()  # of these SERVER spans, by sender and mark of the trace
        self._known: set[bytes] = set()  # span ids: what is sent again counts once
        self._lock = threading.Lock()
        self._state = State.GONE
        self._server: ThreadingHTTPServer | None = None
        self.become(State.UP)

    def url(self, sender: str) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}/{sender}"

    def become(self, state: State) -> None:
        """From now on."""
        with self._lock:
            self._state = state
        if state is State.GONE:
            self.close()
        elif self._server is None:
            self._server = _Server(self.port, self)
            threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, handler: _Handler, body: bytes) -> None:
        """One request, whole."""
        spans = list(spans_in(body))
        with self._lock:
            if self._state is State.UP:
                self._count(handler.sender, spans)
                handler.answer(200)
            elif self._state is State.UNAVAILABLE:
                handler.answer(503)
            else:
                handler.close_connection = True

    def _count(self, sender: str, spans: list[Span]) -> None:
        for span in spans:
            if span.span_id not in self._known:
                self._known.add(span.span_id)
                self.spans[sender] += 1
                if span.kind == Span.SPAN_KIND_SERVER:
                    self.served[sender, span.trace_id[:8]] += 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that is killed ends its connection: nothing to report."""


class _Handler(Posted):
    server: _Server

    def do_POST(self) -> None:
        self.server.endpoint.take(self, self.body())
