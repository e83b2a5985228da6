"""Batches: when they are sent, what happens when nobody takes them, and that the counts are exact."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from made import offer
from opentelemetry.sdk.trace import ReadableSpan

from rbinder.exporters.batch import MOST_BYTES, BatchProcessor, Limits, limits_from_environment
from rbinder.exporters.otlp_wire import EncodedSpans

IMPATIENT = 5.0  # seconds within which anything here has long ended


class Gate:
    """A delivery that waits until it is opened, and fails while told to."""

    def __init__(self, opened: bool = True) -> None:
        self.reason = "the gate is shut"
        self.failing = False
        self.batches: list[int] = []
        self.calls: list[str] = []
        self.entered = threading.Event()
        self.opened = threading.Event()
        if opened:
            self.opened.set()

    def export(self, spans: Sequence[ReadableSpan]) -> bool:
        self.entered.set()
        self.opened.wait(IMPATIENT)
        self.batches.append(len(spans))
        return not self.failing

    def hurry(self) -> None:
        self.calls.append("hurry")

    def renew(self) -> None:
        self.calls.append("renew")

    def close(self) -> None:
        self.calls.append("close")


def counts(processor: BatchProcessor) -> tuple[int, int, int, int]:
    return processor.offered, processor.exported, processor.failed, processor.overflowed


def test_batches_are_filled_and_the_rest_is_sent_at_the_end(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    processor = BatchProcessor(gate, Limits(100, 15, 60.0), "test")
    offer(processor, spans)
    processor.close(time.monotonic() + IMPATIENT)
    assert (gate.batches, gate.calls) == ([15, 15, 10], ["hurry", "close"])
    assert counts(processor) == (40, 40, 0, 0)
    assert (processor.lost, processor.reason) == (0, "")


def test_a_span_waits_no_longer_than_the_delay(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    processor = BatchProcessor(gate, Limits(100, 15, 0.01), "test")
    offer(processor, spans[:1])
    assert gate.entered.wait(IMPATIENT)
    assert processor.force_flush(5000)
    processor.close(time.monotonic() + IMPATIENT)


def test_a_flush_sends_what_is_there(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    processor = BatchProcessor(gate, Limits(100, 15, 60.0), "test")
    offer(processor, spans[:20])
    assert processor.force_flush(5000)
    assert counts(processor) == (20, 20, 0, 0)
    processor.close(time.monotonic() + IMPATIENT)


def test_a_full_queue_waits_while_the_other_end_is_well(spans: list[ReadableSpan]) -> None:
    gate = Gate(opened=False)
    processor = BatchProcessor(gate, Limits(10, 5, 60.0), "test")
    offer(processor, spans[:5])
    assert gate.entered.wait(IMPATIENT)
    offer(processor, spans[5:15])
    late = threading.Thread(target=offer, args=(processor, spans[15:]))
    late.start()
    gate.opened.set()
    late.join(IMPATIENT)
    processor.close(time.monotonic() + IMPATIENT)
    assert counts(processor) == (40, 40, 0, 0)


def test_a_full_queue_drops_at_once_after_a_failure(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    gate.failing = True
    processor = BatchProcessor(gate, Limits(10, 5, 60.0), "test")
    offer(processor, spans[:5])
    assert processor.force_flush(5000)
    gate.opened.clear()
    started = time.monotonic()
    offer(processor, spans[5:])
    assert time.monotonic() - started < 1.0
    gate.opened.set()
    processor.close(time.monotonic() + IMPATIENT)
    assert processor.offered == processor.failed + processor.overflowed == 40
    assert processor.overflowed >= 20
    assert processor.reason == "the gate is shut"


def test_at_the_end_a_failure_is_tried_once_more_and_no_further(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    gate.failing = True
    processor = BatchProcessor(gate, Limits(100, 50, 60.0), "test")
    offer(processor, spans)
    processor.close(time.monotonic() + IMPATIENT)
    assert gate.batches == [40, 40]
    assert "renew" in gate.calls
    assert counts(processor) == (40, 0, 40, 0)


def test_the_end_is_bounded_in_time(spans: list[ReadableSpan]) -> None:
    gate = Gate(opened=False)
    processor = BatchProcessor(gate, Limits(100, 15, 60.0), "slow")
    offer(processor, spans)
    started = time.monotonic()
    processor.close(started + 0.1)
    assert time.monotonic() - started < 1.0
    assert counts(processor) == (40, 0, 40, 0)
    assert "in time" in processor.reason
    gate.opened.set()


def test_what_doesnt_fit_in_beside_part_of_a_batch_sends_that(spans: list[ReadableSpan]) -> None:
    """Neither is full: the queue has no room for what comes, and holds less than a batch."""
    gate = Gate()
    processor = BatchProcessor(gate, Limits(10, 10, 60.0), "test", encoded=True)
    for _ in range(5):
        processor.take(EncodedSpans(b"", 7, spans[0]))
    processor.close(time.monotonic() + IMPATIENT)
    assert counts(processor) == (35, 35, 0, 0)


def test_a_batch_is_limited_in_bytes_too(spans: list[ReadableSpan]) -> None:
    gate = Gate()
    processor = BatchProcessor(gate, Limits(100, 100, 60.0), "test", encoded=True)
    for _ in range(5):
        processor.take(EncodedSpans(bytes(MOST_BYTES // 2), 10, spans[0]))
    assert processor.force_flush(5000)
    assert sum(gate.batches) == 5
    assert max(gate.batches) == 2
    processor.close(time.monotonic() + IMPATIENT)


def test_limits_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "SCHEDULE_DELAY"):
        monkeypatch.delenv(f"OTEL_BSP_{name}", raising=False)
    assert limits_from_environment() == Limits(8192, 2048, 5.0)
    assert limits_from_environment(0.2) == Limits(8192, 2048, 0.2)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "250")
    assert limits_from_environment() == Limits(100, 100, 0.25)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "many")
    assert limits_from_environment().queue == 8192
