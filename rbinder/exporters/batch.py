"""Hands spans over in batches from a thread of its own, counts exactly, and never waits where waiting can't help.

Unlike the SDK's batch processor this one runs beside the traced program, not in it: while the other end takes spans, a
full queue makes the caller wait a little; once it doesn't, spans are dropped at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from rbinder.environment import BATCH_SIZE, QUEUE_SIZE
from rbinder.exporters.otlp_wire import EncodedSpans, Spans

MOST_BYTES = 1 << 20  # in a batch of encoded spans, so that it isn't too large for a receiver (gRPC's take 4 MiB)
DELAY = 5.0  # seconds: the specification's default
FULL_PATIENCE = 2.0  # seconds to wait for room in the queue before the other end counts as stuck


class Delivery(Protocol):
    """The other end of a batch processor; called from its thread only, but for hurry()."""

    @property
    def reason(self) -> str:
        """Why the last export failed, one phrase."""
        ...

    def export(self, spans: Sequence[Any]) -> bool:
        """Deliver them all, each as it was offered; False where some may not have arrived."""
        ...

    def hurry(self) -> None:
        """From now on give up at the first failure rather than wait and try again."""
        ...

    def renew(self) -> None:
        """Make ready for another export after hurry() broke one off."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in spans, delay in seconds (OpenTelemetry specification, "Batch Span Processor")."""

    queue: int
    batch: int
    delay: float


def limits_from_environment(default_delay: float = DELAY) -> Limits:
    """The OTEL_BSP_* variables."""
    queue = max(1, number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE))
    batch = max(1, number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SIZE))
    delay = number("OTEL_BSP_SCHEDULE_DELAY", round(default_delay * 1000))
    return Limits(queue, min(batch, queue), max(0, delay) / 1000)


def number(name: str, default: int) -> int:
    """An environment variable's whole number; a bad one, of which the command line has warned, is the default."""
    try:
        return int(os.environ.get(name, default))
    except ValueError:
        return default


class BatchProcessor(SpanProcessor):
    """A bounded queue and a worker. offered == exported + failed + overflowed + what is still pending.

    `encoded`: the delivery takes EncodedSpans as well.
    """

    def __init__(self, delivery: Delivery, limits: Limits, name: str, encoded: bool = False) -> None:
        self.encoded = encoded
        self.on_delivered: Callable[[int], None] | None = None  # called by the worker, after each delivery
        self.offered = self.exported = self.failed = self.overflowed = 0
        self._delivery, self._limits, self._name = delivery, limits, name
        self._queue: deque[Spans] = deque()
        self._size = 0  # spans in the queue
        self._in_hand = 0  # spans the worker is delivering
        self._since = 0.0  # when the oldest span in the queue came
        self._kicked = self._closing = self._given_up = self._tried_again = False
        self._healthy = True
        self._late = ""
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name=f"rbinder-{name}", daemon=True)
        self._worker.start()

    @property
    def processor(self) -> SpanProcessor:
        return self

    @property
    def lost(self) -> int:
        return self.failed + self.overflowed

    @property
    def reason(self) -> str:
        if not self.lost:
            return ""
        return self._late or self._delivery.reason or f"{self._name} took them too slowly"

    @property
    def pending(self) -> int:
        return self._size + self._in_hand

    @property
    def most(self) -> int:
        """Spans in a batch."""
        return self._limits.batch

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: exchanges become spans when they have ended."""

    def on_end(self, span: ReadableSpan) -> None:
        self._offer(span, 1)

    def take(self, spans: EncodedSpans) -> None:
        """At most a batch of them."""
        self._offer(spans, spans.count)

    def _offer(self, spans: Spans, count: int) -> None:
        with self._changed:
            self.offered += count
            if not self._has_room(count):
                self.overflowed += count
                return
            first = not self._queue
            if first:
                self._since = time.monotonic()
            self._queue.append(spans)
            self._size += count
            if first or self._size - count < self._limits.batch <= self._size:
                self._changed.notify_all()

    def tick(self, now: float) -> float | None:
        return None  # the worker has its own clock

    def kick(self) -> None:
        with self._changed:
            self._kicked = bool(self._queue)
            self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Hand over what is there; tells whether that was done within the time."""
        self.kick()
        with self._changed:
            return self._changed.wait_for(lambda: not self.pending, timeout_millis / 1000)

    def shutdown(self) -> None:
        self.close(time.monotonic() + 30)

    def last_call(self) -> None:
        self._delivery.hurry()
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, deadline: float) -> None:
        self.last_call()
        self._worker.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            if not self.pending:
                return
            self._late = f"{self._name} didn't take them in time"
            self._given_up = True  # what the worker still delivers arrives uncounted; nothing more is started
            self.failed += self.pending
            self._queue.clear()
            self._size = self._in_hand = 0

    def _has_room(self, count: int) -> bool:
        """Called with the lock held; may wait while the other end is known to take spans."""
        deadline = time.monotonic() + FULL_PATIENCE
        while self._size + count > self._limits.queue and self._healthy and not self._closing:
            if self._queue and not self._kicked:  # it isn't a whole batch yet, but what comes doesn't fit in beside it
                self._kicked = True
                self._changed.notify_all()
            if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                self._healthy = False
        return self._size + count <= self._limits.queue and not self._closing

    def _work(self) -> None:
        while batch := self._next_batch():
            delivered = self._deliver(batch)
            if delivered and self.on_delivered is not None:
                self.on_delivered(self._in_hand)
            with self._changed:
                self._count(delivered)
                self._changed.notify_all()
        self._delivery.close()

    def _next_batch(self) -> list[Spans]:
        """Wait for a batch that is full, due or asked for; empty at the end."""
        with self._changed:
            while not self._is_due():
                if self._closing:
                    return []
                left = self._since + self._limits.delay - time.monotonic() if self._queue else None
                self._changed.wait(left)
            batch: list[Spans] = []
            size = self._in_hand = 0
            while self._queue and self._in_hand + _count(self._queue[0]) <= self._limits.batch and size < MOST_BYTES:
                self._in_hand += _count(self._queue[0])
                size += _bytes(self._queue[0])
                batch.append(self._queue.popleft())
            self._size -= self._in_hand
            self._since = time.monotonic()
            self._kicked = bool(self._queue) and (self._kicked or size >= MOST_BYTES)
            self._changed.notify_all()
            return batch

    def _is_due(self) -> bool:
        if not self._queue:
            return False
        full = self._size >= self._limits.batch
        return full or self._kicked or self._closing or time.monotonic() >= self._since + self._limits.delay

    def _deliver(self, batch: list[Spans]) -> bool:
        """While closing, one failure is followed by one more try at once, and that by none for all the rest."""
        if self._given_up:
            return False
        if self._export(batch):
            return True
        if not self._closing:
            return False
        if not self._tried_again:
            self._tried_again = True
            self._delivery.renew()
            if self._export(batch):
                return True
        self._given_up = True
        return False

    def _export(self, batch: list[Spans]) -> bool:
        try:
            return self._delivery.export(batch)
        except Exception:  # a bug at the other end costs its batch, not this thread and all that comes after
            return False

    def _count(self, delivered: bool) -> None:
        if delivered:
            self.exported += self._in_hand
        else:
            self.failed += self._in_hand
        self._in_hand = 0
        self._healthy = delivered


def _count(spans: Spans) -> int:
    return spans.count if isinstance(spans, EncodedSpans) else 1


def _bytes(spans: Spans) -> int:
    """As far as it is known."""
    return len(spans.data) if isinstance(spans, EncodedSpans) else 0
