"""Spans: the ids that were decided, the times, the status, the connection's events, the resource."""

from __future__ import annotations

import pytest
from made import Kept, exchange
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from traffic import PID, TRACE, Traffic, number

from rbinder import __version__
from rbinder.exchanges import Exchange, Exchanges
from rbinder.records import ConnectionInfo, Side
from rbinder.spans import CLOCK_PERIOD, Clock, Spans, known_methods

ONE, PARENT = number(1), number(9)


def test_known_methods_can_be_listed() -> None:
    assert known_methods("") >= {"GET", "PATCH"}
    assert known_methods(" GET, BREW ,") == {"GET", "BREW"}


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


def test_what_recurs_is_told_apart_by_all_that_differs() -> None:
    """A description is kept for the same heads over the same connection; nothing of another exchange gets into it."""
    peers = [ConnectionInfo(Side.SERVER, f"192.0.2.{last}", 40000, "127.0.0.1", 8080) for last in (7, 8)]
    heads = [b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n" % path for path in (1, 2)]
    answers = [b"HTTP/1.1 %d OK\r\nContent-Length: 2\r\n\r\n" % status for status in (200, 503)]
    ways = [(head, answer, peer) for head in heads for answer in answers for peer in peers]
    once = [emitted(exchange(head, answer, connection=peer))[0].attributes for head, answer, peer in ways]
    assert len({repr(sorted((each or {}).items())) for each in once}) == len(ways)
    twice = emitted(*(exchange(head, answer, connection=peer) for head, answer, peer in ways * 2))
    assert [span.attributes for span in twice] == once * 2
    failed = emitted(
        exchange(heads[0]), exchange(heads[0], error_type="timeout"), exchange(heads[0], answer=None, error_type="x")
    )
    assert [(span.attributes or {}).get("error.type") for span in failed] == [None, "timeout", "x"]


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
