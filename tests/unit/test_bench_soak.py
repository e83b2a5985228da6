"""What the soak judges by: an endpoint that comes and goes, load of which each request is known, whose connections."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from askers import PARENT, Askers
from endpoint import Endpoint, State
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from soak import peer_ports

MARK = b"12345678"


def request(*numbers: int) -> bytes:
    spans = [
        Span(trace_id=MARK + bytes(8), span_id=number.to_bytes(8), kind=Span.SPAN_KIND_SERVER) for number in numbers
    ]
    resource = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with closing(Endpoint()) as made:
        yield made


def send(client: http.client.HTTPConnection, body: bytes) -> int:
    client.request("POST", "/one/v1/traces", body)
    with client.getresponse() as answer:
        return answer.status


def test_only_what_is_answered_is_counted_and_once(endpoint: Endpoint) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", endpoint.port)) as client:
        assert send(client, request(1, 2)) == 200
        assert send(client, request(2, 3)) == 200
        endpoint.become(State.UNAVAILABLE)
        assert send(client, request(4)) == 503
        endpoint.become(State.GONE)
        with pytest.raises(http.client.RemoteDisconnected):
            send(client, request(4))
        with pytest.raises(ConnectionRefusedError):
            send(client, request(4))
        client.close()
        endpoint.become(State.UP)
        assert send(client, request(4)) == 200
    assert endpoint.spans == {"one": 4}
    assert endpoint.served == {("one", MARK): 4}


def test_the_other_ends_of_a_process_connections() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        with closing(socket.create_connection(listener.getsockname())) as one, closing(listener.accept()[0]):
            ours, theirs = one.getsockname()[1], one.getpeername()[1]
            assert {ours, theirs} <= peer_ports(os.getpid())
        assert ours not in peer_ports(os.getpid())


class _Front(ThreadingHTTPServer):
    """Answers as `how` says: with the context as a tracer would send it on, or not."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, how: str) -> None:
        self.how, self.asked, self.enough = how, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Front

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.asked == 8:
            self.server.enough.set()
        if self.server.how == "cut":
            self.close_connection = True
            return
        body = b"hello" if self.path.startswith("/hello") else self.told().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def told(self) -> str:
        version, trace, parent, flags = self.headers["traceparent"].split("-")
        number, child = int(self.path.partition("=")[2]), "00000000000000aa"
        if self.server.how == "another's":
            trace = trace[:16] + f"{number + 1:016x}"
        if self.server.how == "a new trace":
            trace = "c" * 32
        carried = "-".join((version, trace, parent if self.server.how == "forwarded" else child, flags))
        return f'{{"id": "{number + (self.server.how == "mixed up")}", "traceparent": "{carried}"}}'

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def asked(how: str, *doomed: int) -> Askers:
    """Askers that have asked such a front eight times or more, one after the other."""
    with _Front(how) as front:
        askers = Askers(0, front.server_port, 1, 1000)
        askers.doom(set(doomed))
        threading.Thread(target=front.serve_forever, daemon=True).start()  # now: nothing fails before it is doomed
        assert front.enough.wait(30)
        askers.stop()
        front.shutdown()
    return askers


def test_all_is_well() -> None:
    seen = asked("as it should be").asked
    assert (seen.wrong, seen.failed, seen.unbound) == ([], 0, 0)
    count = seen.answered[0]
    assert seen.bound == count - count // 4  # /hello is each fourth
    assert seen.spans == count + seen.bound


def test_a_trace_of_its_own_is_not_wrong() -> None:
    seen = asked("a new trace").asked
    assert (seen.wrong, seen.bound) == ([], 0)
    assert seen.unbound > 0


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("another's", "another request's trace"),
        ("forwarded", f"traceparent is the client's ({PARENT})"),
        ("mixed up", "got the answer to"),
        ("cut", "a connection to a living process"),
    ],
)
def test_what_must_not_be_is_told(how: str, sentence: str) -> None:
    assert sentence.partition(" (")[0] in asked(how).asked.wrong[0]


def test_a_killed_process_may_cost_its_own_requests() -> None:
    seen = asked("cut", *range(1, 65536)).asked
    assert seen.wrong == []
    assert seen.failed >= 8
