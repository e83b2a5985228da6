"""Spans: the attributes of both sides, the outcome, the ids that were decided, the times, the resource."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from traffic import GET, OK, PID, TRACE, Traffic, number

from rbinder import __version__
from rbinder.conventions import Description, describe
from rbinder.exchanges import Exchange, Exchanges
from rbinder.records import ConnectionInfo, Record, Side
from rbinder.spans import CLOCK_PERIOD, Clock, Spans, known_methods

ONE, PARENT = number(1), number(9)
OUTBOUND = ConnectionInfo(Side.CLIENT, "192.0.2.9", 9001, "192.0.2.1", 40000)
UNIX_CLIENT = ConnectionInfo(Side.CLIENT, "/run/shop.sock", 0, "", 0)
UNIX_SERVER = ConnectionInfo(Side.SERVER, "", 0, "/run/shop.sock", 0)


class Kept(SpanProcessor):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        assert span.is_recording()

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def exchange(
    head: bytes = GET,
    answer: bytes | None = OK,
    side: Side = Side.SERVER,
    connection: ConnectionInfo | None = None,
    error_type: str = "",
    **request: Any,
) -> Exchange:
    """The exchange of one request; without an answer it fails."""
    traffic, exchanges = Traffic(), Exchanges()
    records: list[Record] = [traffic.process()]
    if connection:
        records.append(traffic.connection(1, connection))
    records.append(traffic.request(ONE, head, side=side, **request))
    if answer is not None:
        records.append(traffic.response(ONE, answer, side))
    records.append(traffic.failed(ONE, error_type, side) if error_type else traffic.end(ONE))
    (made,) = [each for record in records for each in exchanges.feed(record)]
    return made


def described(*arguments: Any, **options: Any) -> Description:
    return describe(exchange(*arguments, **options))


def test_everything_known_of_a_server_exchange() -> None:
    inbound = ConnectionInfo(Side.SERVER, "192.0.2.7", 40000, "127.0.0.1", 8080)
    description = described(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), connection=inbound)
    assert description == Description(
        "GET",
        {
            "http.request.method": "GET",
            "url.scheme": "http",
            "url.path": "/cart/7",
            "url.query": "id=3",
            "server.address": "shop.example",
            "server.port": 8080,
            "client.address": "192.0.2.7",
            "client.port": 40000,
            "network.peer.address": "192.0.2.7",
            "network.peer.port": 40000,
            "network.protocol.version": "1.1",
            "user_agent.original": "test/1",
            "http.request.body.size": 3,
            "http.response.body.size": 7,
            "http.response.status_code": 200,
        },
        False,
    )


def test_everything_known_of_a_client_exchange() -> None:
    assert described(side=Side.CLIENT, connection=OUTBOUND) == Description(
        "GET",
        {
            "http.request.method": "GET",
            "url.full": "http://shop.example:8080/cart/7?id=3",
            "server.address": "shop.example",
            "server.port": 8080,
            "network.peer.address": "192.0.2.9",
            "network.peer.port": 9001,
            "network.protocol.version": "1.1",
            "user_agent.original": "test/1",
            "http.response.body.size": 7,
            "http.response.status_code": 200,
        },
        False,
    )


def request(line: str, *fields: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", ""]).encode()


CLIENT_URLS = [
    (request("GET /", "Host: shop"), "http://shop/", "shop", 80),
    (request("GET /", "Host: [::1]:90"), "http://[::1]:90/", "::1", 90),
    (request("GET /"), "http://192.0.2.9:9001/", "192.0.2.9", 9001),
    (request("GET http://shop:81/a?b", "Host: proxy"), "http://shop:81/a?b", "shop", 81),
    (request("GET http://u:p@shop/a?sig=1"), "http://REDACTED:REDACTED@shop/a?sig=REDACTED", "shop", 80),
    (request("GET /", "Host: u:p@shop"), "http://REDACTED:REDACTED@shop/", "shop", 80),
    (request("GET /?a=1&Signature=x", "Host: shop"), "http://shop/?a=1&Signature=REDACTED", "shop", 80),
    (request("OPTIONS *", "Host: shop:1"), "http://shop:1", "shop", 1),
    (request("CONNECT shop:443", "Host: shop:443"), "http://shop:443", "shop", 443),
    (b"", "http://192.0.2.9:9001", "192.0.2.9", 9001),
]


@pytest.mark.parametrize(("head", "url", "address", "port"), CLIENT_URLS)
def test_what_a_client_asked_for(head: bytes, url: str, address: str, port: int) -> None:
    attributes = described(head, side=Side.CLIENT, connection=OUTBOUND).attributes
    found = (attributes["url.full"], attributes["server.address"], attributes["server.port"])
    assert found == (url, address, port)


INBOUND = ConnectionInfo(Side.SERVER, "192.0.2.7", 40000, "127.0.0.1", 8080)
SERVER_URLS = [
    (request("GET /a", "Host: shop"), ("http", "/a", None, "shop", 80)),
    (request("GET /a?"), ("http", "/a", None, "127.0.0.1", 8080)),
    (request("GET http://u:p@shop:1/a?b", "Host: other"), ("http", "/a", "b", "shop", 1)),
    (request("GET /", "Host: in", "X-Forwarded-Proto: https", "X-Forwarded-Host: out"), ("https", "/", None, "out", 443)),
    (request("GET /?sig=1", "Host: [::1]:2"), ("http", "/", "sig=REDACTED", "::1", 2)),
    (request("OPTIONS *", "Host: shop"), ("http", "*", None, "shop", 80)),
    (request("CONNECT shop:443"), ("http", "", None, "shop", 443)),
]  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), SERVER_URLS)
def test_what_a_server_was_asked_for(head: bytes, expected: tuple[object, ...]) -> None:
    attributes = described(head, connection=INBOUND).attributes
    names = ("url.scheme", "url.path", "url.query", "server.address", "server.port")
    assert tuple(attributes.get(name) for name in names) == expected


def test_a_client_behind_a_proxy() -> None:
    attributes = described(request("GET /", "Host: a", "X-Forwarded-For: 198.51.100.1"), connection=INBOUND).attributes
    assert (attributes["client.address"], attributes["network.peer.address"]) == ("198.51.100.1", "192.0.2.7")
    assert "client.port" not in attributes


@pytest.mark.parametrize(("side", "connection"), [(Side.CLIENT, UNIX_CLIENT), (Side.SERVER, UNIX_SERVER)])
def test_sockets_that_are_paths(side: Side, connection: ConnectionInfo) -> None:
    attributes = described(request("GET /", "Host: localhost"), side=side, connection=connection).attributes
    assert (attributes["network.transport"], attributes["network.peer.address"]) == ("unix", "/run/shop.sock")
    assert "network.peer.port" not in attributes
    assert "client.address" not in attributes


def test_a_path_that_is_no_text() -> None:
    connection = ConnectionInfo(Side.CLIENT, "/run/\udcff", 0, "", 0)
    assert described(side=Side.CLIENT, connection=connection).attributes["network.peer.address"] == "/run/\ufffd"


def test_nothing_known_of_the_connection() -> None:
    attributes = described().attributes
    assert attributes["server.address"] == "shop.example"
    assert not [name for name in attributes if name.startswith(("client.", "network.peer"))]


OUTCOMES = [
    (Side.SERVER, 200, "", None, False),
    (Side.SERVER, 404, "", None, False),
    (Side.SERVER, 500, "", "500", True),
    (Side.CLIENT, 399, "", None, False),
    (Side.CLIENT, 404, "", "404", True),
    (Side.CLIENT, 503, "", "503", True),
    (Side.CLIENT, 200, "connection_reset", "connection_reset", True),
    (Side.SERVER, 500, "connection_closed", "connection_closed", True),
    (Side.CLIENT, 0, "timeout", "timeout", True),
]


@pytest.mark.parametrize(("side", "status", "error", "error_type", "failed"), OUTCOMES)
def test_outcomes(side: Side, status: int, error: str, error_type: str | None, failed: bool) -> None:
    answer = f"HTTP/1.1 {status} X\r\n\r\n".encode() if status else None
    description = described(answer=answer, side=side, error_type=error)
    assert description.failed == failed
    assert description.attributes.get("error.type") == error_type
    assert description.attributes.get("http.response.status_code") == (status or None)


METHODS = [
    (b"QUERY", "QUERY", "QUERY", None),
    (b"BREW", "HTTP", "_OTHER", "BREW"),
    (b"get", "HTTP", "_OTHER", "get"),
    (b"A" * 99, "HTTP", "_OTHER", "A" * 64),
]


@pytest.mark.parametrize(("method", "name", "known", "original"), METHODS)
def test_methods(method: bytes, name: str, known: str, original: str | None) -> None:
    description = described(GET.replace(b"GET", method))
    assert (description.name, description.attributes["http.request.method"]) == (name, known)
    assert description.attributes.get("http.request.method_original") == original


def test_a_request_never_seen_has_no_original_method() -> None:
    description = described(b"", None, side=Side.CLIENT, connection=OUTBOUND, error_type="ECONNREFUSED")
    assert (description.name, description.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert "http.request.method_original" not in description.attributes


def test_known_methods_can_be_listed() -> None:
    assert known_methods("") >= {"GET", "PATCH"}
    assert known_methods(" GET, BREW ,") == {"GET", "BREW"}


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (GET.replace(b"GET", b"HEAD"), OK),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_a_body_of_unknown_size(head: bytes, answer: bytes) -> None:
    assert "http.response.body.size" not in described(head, answer).attributes


def emitted(*exchanges: Exchange, service_name: str = "") -> list[ReadableSpan]:
    kept = Kept()
    spans = Spans([kept], service_name, Clock(lambda: 10_000_000_000_000, lambda: 0))
    for each in exchanges:
        spans.emit(each)
    return kept.spans


def test_the_span_is_what_was_decided() -> None:
    made = exchange(parent=PARENT, state="vendor=1,other=2", flags=3)
    (span,) = emitted(made)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id) == (int.from_bytes(TRACE), 1)
    assert (span.parent.span_id, span.parent.is_remote) == (9, True)
    assert span.context.trace_state.to_header() == "vendor=1,other=2"
    assert span.context.trace_flags == 3
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.SERVER, StatusCode.UNSET)
    assert span.start_time == 10_000_000_000_000 + made.started
    assert span.end_time == 10_000_000_000_000 + made.ended
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("rbinder", __version__)


def test_a_root_keeps_its_flags_and_state_too() -> None:
    (span,) = emitted(exchange(flags=3, state="a=b"))
    assert span.context is not None
    assert (span.parent, span.context.trace_flags) == (None, 3)
    assert span.context.trace_state.to_header() == "a=b"
    (span,) = emitted(exchange(flags=1))
    assert span.context is not None
    assert span.context.trace_flags == 1


def test_a_local_parent_is_not_remote() -> None:
    (span,) = emitted(exchange(side=Side.CLIENT, parent=PARENT))
    assert span.parent is not None
    assert (span.kind, span.parent.is_remote) == (SpanKind.CLIENT, False)


def test_a_failure_is_an_error_without_description() -> None:
    (span,) = emitted(exchange(answer=None, error_type="timeout"))
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)


def test_events_of_the_connection_are_the_first_clients() -> None:
    timed = ConnectionInfo(Side.CLIENT, "192.0.2.9", 80, "", 0, 30, 40, 10, 20)
    traffic, exchanges = Traffic(), Exchanges()
    records = [
        traffic.connection(1, timed),
        *traffic.whole(ONE, side=Side.CLIENT),
        *traffic.whole(PARENT, side=Side.CLIENT),
    ]
    first, second = emitted(*[each for record in records for each in exchanges.feed(record)])
    names = ["domainLookupStart", "domainLookupEnd", "connectStart", "connectEnd"]
    assert [event.name for event in first.events] == names
    assert [event.timestamp - 10_000_000_000_000 for event in first.events] == [10, 20, 30, 40]
    assert list(second.events) == []
    (served,) = emitted(exchange(connection=timed))
    assert list(served.events) == []


def test_the_resource_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,host.name=mine")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    one, two = emitted(exchange(), exchange())
    attributes = dict(one.resource.attributes)
    expected = {
        "service.name": "shop",
        "process.pid": PID,
        "process.executable.name": "python3.11",
        "process.executable.path": "/usr/bin/python3.11",
        "host.name": "mine",
        "deployment.environment.name": "test",
        "os.type": "linux",
        "telemetry.sdk.language": "python",
        "telemetry.distro.name": "rbinder",
        "telemetry.distro.version": __version__,
    }
    assert {name: attributes.get(name) for name in expected} == expected
    assert attributes["service.instance.id"]
    assert "process.command_args" not in attributes
    assert one.resource is two.resource


SERVICE_NAMES = [
    ({}, "", "", "shop"),
    ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute"}, "", "", "attribute"),
    ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute", "OTEL_SERVICE_NAME": "variable"}, "", "", "variable"),
    ({"OTEL_SERVICE_NAME": "variable"}, "option", "", "option"),
    ({"OTEL_SERVICE_NAME": "variable"}, "option", "process", "process"),
]


@pytest.mark.parametrize(("environment", "option", "of_process", "name"), SERVICE_NAMES)
def test_who_names_the_service(
    environment: dict[str, str], option: str, of_process: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    made = exchange()
    made.process.info.service_name = of_process
    (span,) = emitted(made, service_name=option)
    assert span.resource.attributes["service.name"] == name


def test_the_clock_follows_steps_but_not_noise() -> None:
    wall, monotonic = [1000 * CLOCK_PERIOD], [0]
    clock = Clock(lambda: wall[0], lambda: monotonic[0])
    before = clock.epoch(5)
    wall[0] += 500_000
    monotonic[0] = CLOCK_PERIOD
    wall[0] += CLOCK_PERIOD
    clock.refresh()
    assert clock.epoch(5) == before
    wall[0] += 3600 * 10**9
    clock.refresh()
    assert clock.epoch(5) == before
    monotonic[0], wall[0] = 2 * CLOCK_PERIOD, wall[0] + CLOCK_PERIOD
    clock.refresh()
    assert clock.epoch(5) == before + 3600 * 10**9 + 500_000
