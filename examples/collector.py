"""A small OTLP receiver to look at spans with: HTTP (protobuf and JSON) on one port, gRPC on another.

    python examples/collector.py --http 4318 --grpc 4317 --tree

Its first line on stdout is JSON with the ports in use, {"http": 4318, "grpc": 4317}; `grpc` is null without grpcio.
GET /spans lists the spans received, POST /reset forgets them, GET /healthz answers. Loopback only.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

Json = dict[str, Any]

QUIET = 0.5  # seconds after which a trace's tree is printed
KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
UNPACK = {"": bytes, "identity": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


def flatten(request: Json, protocol: str) -> Iterator[Json]:
    """The spans of an ExportTraceServiceRequest (in OTLP/JSON's form), each with all that is known of it."""
    for group in request.get("resourceSpans", []):
        resource = attributes(group.get("resource", {}).get("attributes", []))
        for scoped in group.get("scopeSpans", []):
            for span in scoped.get("spans", []):
                yield flat_span(span, resource, scoped.get("scope", {}), protocol)


def flat_span(span: Json, resource: Json, scope: Json, protocol: str) -> Json:
    return {
        "traceId": span.get("traceId", ""),
        "spanId": span.get("spanId", ""),
        "parentSpanId": span.get("parentSpanId", ""),
        "name": span.get("name", ""),
        "kind": KINDS.get(span.get("kind", 0), "UNSPECIFIED"),
        "service": resource.get("service.name", ""),
        "resource": resource,
        "scope": scope.get("name", ""),
        "attributes": attributes(span.get("attributes", [])),
        "status": {"code": 0, "message": ""} | span.get("status", {}),
        "startTimeUnixNano": int(span.get("startTimeUnixNano", 0)),
        "endTimeUnixNano": int(span.get("endTimeUnixNano", 0)),
        "events": [
            {
                "name": event.get("name", ""),
                "timeUnixNano": int(event.get("timeUnixNano", 0)),
                "attributes": attributes(event.get("attributes", [])),
            }
            for event in span.get("events", [])
        ],
        "traceState": span.get("traceState", ""),
        "flags": span.get("flags", 0),
        "protocol": protocol,
    }


def attributes(pairs: list[Json]) -> Json:
    return {pair["key"]: plain(pair.get("value", {})) for pair in pairs}


def plain(value: Json) -> Any:
    """An AnyValue as a Python value."""
    ((kind, content),) = value.items() or [("none", None)]
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [plain(item) for item in content.get("values", [])]
    if kind == "kvlistValue":
        return attributes(content.get("values", []))
    return content


def as_json(message: Any) -> Json:
    """A protobuf request in OTLP/JSON's form, whose ids are hexadecimal where protobuf's own mapping has base64."""
    request: Json = MessageToDict(message, use_integers_for_enums=True)
    for group in request.get("resourceSpans", []):
        for scoped in group.get("scopeSpans", []):
            for span in scoped.get("spans", []):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in span:
                        span[key] = base64.b64decode(span[key]).hex()
    return request


class Store:
    """The spans received, in order; also a file and trees, where asked for."""

    def __init__(self, path: str | None, trees: bool) -> None:
        self._spans: list[Json] = []
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8") if path else None  # noqa: SIM115 - open as long as the process
        self._trees = trees
        self._timers: dict[str, threading.Timer] = {}

    def add(self, spans: list[Json]) -> None:
        with self._lock:
            self._spans += spans
            if self._file:
                self._file.writelines(json.dumps(span) + "\n" for span in spans)
                self._file.flush()
            if self._trees:
                for trace in {span["traceId"] for span in spans}:
                    self._show_later(trace)

    def all(self) -> list[Json]:
        with self._lock:
            return list(self._spans)

    def reset(self) -> None:
        with self._lock:
            self._spans.clear()

    def _show_later(self, trace: str) -> None:
        if trace in self._timers:
            self._timers[trace].cancel()
        self._timers[trace] = timer = threading.Timer(QUIET, self._show, (trace,))
        timer.daemon = True
        timer.start()

    def _show(self, trace: str) -> None:
        with self._lock:
            self._timers.pop(trace, None)
            spans = [span for span in self._spans if span["traceId"] == trace]
        print(f"trace {trace}", *tree(spans), sep="\n", flush=True)


def tree(spans: list[Json]) -> list[str]:
    """A line for each span, below its parent."""
    known = {span["spanId"] for span in spans}
    spans = sorted(spans, key=lambda span: span["startTimeUnixNano"])

    def below(parent: str, indent: str) -> Iterator[str]:
        members = [span for span in spans if (span["parentSpanId"] if span["parentSpanId"] in known else "") == parent]
        for span in members:
            last = span is members[-1]
            yield f"{indent}{'└─' if last else '├─'} {line(span)}"
            yield from below(span["spanId"], indent + ("   " if last else "│  "))

    return list(below("", ""))


def line(span: Json) -> str:
    known = span["attributes"]
    target = known.get("url.full") or known.get("url.path", "")
    outcome = known.get("http.response.status_code") or known.get("error.type", "-")
    took = (span["endTimeUnixNano"] - span["startTimeUnixNano"]) / 1e6
    return f"{span['service']}: {span['kind']} {span['name']} {target} {outcome} {took:.1f} ms"


class Handler(BaseHTTPRequestHandler):
    """OTLP/HTTP (POST /v1/traces) and a few questions of our own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: Store

    def do_GET(self) -> None:
        if self.path == "/spans":
            self._answer(200, json.dumps(self.store.all()).encode(), "application/json")
        elif self.path == "/healthz":
            self._answer(200, b"ok\n", "text/plain")
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/reset":
            self.store.reset()
            self._answer(200, b"", "text/plain")
        elif self.path == "/v1/traces":
            self._traces(body)
        else:
            self._answer(404, b"", "text/plain")

    def _traces(self, body: bytes) -> None:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        try:
            body = UNPACK[self.headers.get("Content-Encoding", "").strip().lower()](body)
            if kind == "application/json":
                request = json.loads(body)
            else:
                request = as_json(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            self.store.add(list(flatten(request, "http")))
        except Exception as error:  # whatever is wrong with a request, its sender is told
            self._answer(400, f"{type(error).__name__}: {error}\n".encode(), "text/plain")
            return
        self._answer(200, b"{}" if kind == "application/json" else b"", kind)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line."""


def serve_grpc(store: Store, host: str, port: int) -> tuple[int | None, Any]:
    """Start OTLP/gRPC in threads of its own; returns its port and the server, which ends when nobody holds it."""
    try:
        import grpc
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
    except ImportError:
        return None, None

    class Service(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
        def Export(self, request: Any, context: Any) -> Any:
            store.add(list(flatten(as_json(request), "grpc")))
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)
    chosen: int = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return chosen, server


def main() -> None:
    parser = argparse.ArgumentParser(description="A small OTLP receiver.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    parser.add_argument("--http", type=int, default=4318, metavar="PORT", help="OTLP/HTTP port, 0: any (default 4318)")
    parser.add_argument("--grpc", type=int, default=4317, metavar="PORT", help="OTLP/gRPC port, 0: any (default 4317)")
    parser.add_argument("--json", metavar="FILE", help="append each span to FILE, a JSON object a line")
    parser.add_argument("--tree", action="store_true", help="print each trace as a tree when it has been quiet")
    options = parser.parse_args()
    Handler.store = Store(options.json, options.tree)
    server = ThreadingHTTPServer((options.host, options.http), Handler)
    server.daemon_threads = True
    grpc_port, grpc_server = serve_grpc(Handler.store, options.host, options.grpc)
    print(json.dumps({"http": server.server_port, "grpc": grpc_port}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if grpc_server:
            grpc_server.stop(None)


if __name__ == "__main__":
    main()
