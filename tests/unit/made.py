"""Makes exchanges and spans out of records, and exporters with what surrounds them, for the tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from traffic import GET, OK, Traffic, number

from rbinder.config import Config
from rbinder.exchanges import Exchange, Exchanges
from rbinder.exporters import Exporter, Surroundings, create
from rbinder.exporters.stderr import Stderr
from rbinder.records import ConnectionInfo, Record, Side
from rbinder.spans import Spans


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
    records.append(traffic.request(number(1), head, side=side, **request))
    if answer is not None:
        records.append(traffic.response(number(1), answer, side))
    records.append(traffic.failed(number(1), error_type, side) if error_type else traffic.end(number(1)))
    (made,) = [each for record in records for each in exchanges.feed(record)]
    return made


def make_spans(*records: Record) -> list[ReadableSpan]:
    kept, exchanges = Kept(), Exchanges()
    spans = Spans([kept])
    for record in records:
        for exchange in exchanges.feed(record):
            spans.emit(exchange)
    return kept.spans


def shop_trace() -> list[ReadableSpan]:
    """server 1 → client 2 → server 3 (another process), and client 4 that fails."""
    traffic, back = Traffic(), Traffic(2_000_000_000, pid=77)
    first = traffic.request(number(1))
    call = traffic.request(number(2), connection=2, side=Side.CLIENT, parent=number(1))
    served = back.request(number(3), b"GET /stock HTTP/1.1\r\nHost: back\r\n\r\n", 0, parent=number(2))
    failed = traffic.request(number(4), connection=3, side=Side.CLIENT, parent=number(1))
    return make_spans(
        traffic.process(), back.process("/usr/bin/stock"), first, call, served,
        back.response(number(3)), back.end(number(3)), traffic.response(number(2)), traffic.end(number(2)),
        failed, traffic.failed(number(4), "timeout"), traffic.response(number(1)), traffic.end(number(1)),
    )  # fmt: skip


def offer(exporter: Exporter, spans: Sequence[ReadableSpan]) -> None:
    for span in spans:
        exporter.processor.on_end(span)


class Surrounded:
    """Exporters, and what they say."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.stderr = Stderr(0, self._writing)
        self.open: set[bytes] = set()

    def make(self, name: str, output: str | None = None) -> Exporter:
        config = Config(exporters=(name,), output=output)
        return create(name, Surroundings(config, self.stderr, lambda trace: int(trace in self.open)))

    def said(self) -> str:
        os.set_blocking(self._reading, False)
        try:
            return os.read(self._reading, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        self.stderr.withhold()
        os.close(self._reading)
        os.close(self._writing)
