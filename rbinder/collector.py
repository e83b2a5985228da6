"""The exporter process: records in, by a pipe or by shared memory; spans out. Nothing it does or fails to do reaches
the traced program.

It is forked from a light parent before the program runs, so importing this file is cheap; the OpenTelemetry SDK is
imported while the program already runs, behind a thread that keeps the pipe empty.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbinder.exporters import Exporter, Surroundings, create
from rbinder.exporters.stderr import Stderr
from rbinder.inbox import Inbox
from rbinder.records import UNREADABLE, Decoder, Kind, Note, Record

if TYPE_CHECKING:
    from rbinder.agent.ring import RingInbox
    from rbinder.agent.stencils import Early, Stencils
    from rbinder.agent.watch import Watch
    from rbinder.config import Config
    from rbinder.exchanges import Exchange, Exchanges
    from rbinder.spans import Spans

NICENESS = 5
NICENESS_BESIDE_RING = 19  # there is room for what has to wait, and whoever fills it is not kept waiting
BACKLOG_SHARE = 0.5  # of the exit timeout, for what is still in the inbox; the rest is the exporters'

_IMAGES = (Kind.PROCESS, Kind.PROCESS_EXIT)  # a process's image changes

# What a terminal or a process manager sends to the whole group: the program decides what becomes of them, and this
# process ends with it, at the end of the pipe.
IGNORED_SIGNALS = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
    signal.SIGPIPE,
)


def run(source: int, config: Config, memory: int | None = None) -> int:
    """Collect from the pipe's read end `source` until its end; returns the process's exit status.

    `memory` is the agents' shared memory: then their records come that way, and their keeper's by the pipe.
    """
    stderr = Stderr(config.verbosity)
    try:
        _detach(source)
        _repair(config)
        inbox = Inbox(source) if memory is None else _ring(source, memory)
        inbox.start()  # its threads keep the priority of the programs whose records they take
        _give_way(NICENESS if memory is None else NICENESS_BESIDE_RING)
        _silence()
        Collector(config, stderr).collect(inbox)
    except Exception as error:  # the last resort: a sentence, never a traceback among the program's output
        stderr.say(f"the exporter process failed ({type(error).__name__}: {error}); no more spans are kept")
        return 1
    return 0


class Collector:
    """Makes exchanges of records and spans of exchanges, and looks after the exporters."""

    def __init__(self, config: Config, stderr: Stderr) -> None:
        from rbinder.exchanges import Exchanges
        from rbinder.spans import Spans

        self._config, self._stderr = config, stderr
        self._exchanges = Exchanges()
        self._decoder = Decoder()
        self._watch: Watch | None = None
        self._stencils: Stencils | None = None
        self._early: Early | None = None
        self._failures: list[str] = []
        self._emitted = self._skipped = self._unmade = 0
        self._killed_with = 0  # spans that another collector had in hand
        self._sound = True  # the stream can be read
        self._exporters = self._create_exporters()
        self._spans: Spans = Spans([exporter.processor for exporter in self._exporters], config.service_name)

    def collect(self, inbox: Inbox | RingInbox) -> None:
        """The loop of this process's life."""
        if not isinstance(inbox, Inbox):
            self._stencil(inbox)
            self._watch = _watch(inbox, self._exchanges, self._early)
            self._decoder = Decoder(framed=True)
        gc.freeze()  # what was imported stays: no collection need look at it again
        wait: float | None = None
        while not inbox.ended:
            self._feed(inbox.take(wait))
            wait = self._tick()
        now = time.monotonic()
        self._feed_backlog(inbox, now + self._config.exit_timeout * BACKLOG_SHARE)
        if self._early is not None:
            self._early.release()
        if self._watch is not None:
            self._take_all(self._watch.finish(time.monotonic_ns()))
        self._finish(now + self._config.exit_timeout)

    def _stencil(self, inbox: RingInbox) -> None:
        """Let what recurs take the short way, where nobody but OTLP's exporter has to see each span."""
        from rbinder.agent.stencils import Early, Stencils
        from rbinder.exporters.batch import BatchProcessor

        only = self._exporters[0] if len(self._exporters) == 1 else None
        if not isinstance(only, BatchProcessor):
            return
        self._killed_with = inbox.left_behind
        only.on_delivered = inbox.memory.deliver  # so that the next collector knows what this one was killed with
        if only.encoded and self._spans.unlimited:
            self._stencils = Stencils(only.take, self._spans.epoch, only.most)
            self._early = Early(self._stencils, self._take)
            inbox.through = self._stencils.feed

    def _feed_backlog(self, inbox: Inbox | RingInbox, deadline: float) -> None:
        """What was read before the end: in spans while time allows, then only counted."""
        while not inbox.exhausted:
            data = inbox.take(None)
            if time.monotonic() < deadline:
                self._feed(data)
            else:
                if not isinstance(inbox, Inbox):
                    inbox.take_directly()
                self._skipped += sum(record.kind is Kind.REQUEST_HEAD for record in self._records(data))

    def _feed(self, data: bytes) -> None:
        watch = self._watch
        for record in self._records(data):
            if watch is not None and record.kind in watch.kinds:
                self._take_all(watch.see(record))
            else:
                self._take(record)

    def _take_all(self, records: list[Record]) -> None:
        for record in records:
            self._take(record)

    def _records(self, data: bytes) -> Iterator[Record]:
        """The records that `data` completes; none once the stream can't be read."""
        if not self._sound:
            return
        try:
            yield from self._decoder.feed(data)
        except UNREADABLE:
            self._sound = False
            self._stderr.say("the engine's records can't be read any more; no more spans are made")

    def _take(self, record: Record) -> None:
        if record.kind is Kind.FLUSH:
            for exporter in self._exporters:
                exporter.kick()
        elif isinstance(record.payload, Note):
            self._stderr.say(record.payload.text)
        else:
            self._emit(self._exchanges.feed(record))
            if self._stencils is not None and record.kind in _IMAGES:
                self._stencils.forget(record.pid)

    def _emit(self, exchanges: list[Exchange]) -> None:
        for exchange in exchanges:
            self._emitted += 1
            try:
                span = self._spans.emit(exchange)
                if self._stencils is not None and span is not None:
                    self._stencils.learn(exchange, span)
            except Exception:  # one exchange that can't be described must not cost all others theirs
                self._unmade += 1

    def _tick(self) -> float | None:
        now = time.monotonic()
        waits = [exporter.tick(now) for exporter in self._exporters]
        if self._watch is not None:
            self._take_all(self._watch.due(time.monotonic_ns()))
            waits.append(self._watch.wait(time.monotonic_ns()))
        return min((wait for wait in waits if wait is not None), default=None)

    def _finish(self, deadline: float) -> None:
        self._emit(self._exchanges.close(time.monotonic_ns()))
        self._stderr.withhold()
        for exporter in self._exporters:
            exporter.last_call()
        for exporter in self._exporters:
            exporter.close(deadline)
        self._report()

    def _report(self) -> None:
        """One line about what didn't arrive: the records' losses, and the worst exporter's."""
        at_exporters = max((exporter.lost for exporter in self._exporters), default=0)
        if self._failures and not self._exporters:
            at_exporters = self._emitted
        reasons = [exporter.reason for exporter in self._exporters] + self._failures
        if self._killed_with:
            reasons.append(f"{self._killed_with} with a collector that was killed")
        if self._skipped:
            reasons.append(f"{self._skipped} could not be made within the exit timeout")
        unmade = self._unmade + self._decoder.unreadable_requests
        if unmade:
            reasons.append(f"{unmade} could not be described")
        if self._exchanges.lost:
            reasons.append(f"{self._exchanges.lost} records were dropped, which came too fast")
        lost = at_exporters + self._killed_with + self._skipped + unmade + self._exchanges.lost
        because = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
        if not lost and because:
            self._stderr.say(because)
        elif lost:
            self._stderr.say(f"{lost} span{'s were' if lost > 1 else ' was'} lost ({because})")

    def _create_exporters(self) -> list[Exporter]:
        names = list(self._config.exporters)
        if self._config.output and "file" not in names:
            names.append("file")
        surroundings = Surroundings(self._config, self._stderr, self._exchanges.open_in_trace)
        made = (self._create_exporter(name, surroundings) for name in names)
        return [exporter for exporter in made if exporter is not None]

    def _create_exporter(self, name: str, surroundings: Surroundings) -> Exporter | None:
        try:
            return create(name, surroundings)
        except ValueError as error:
            self._stderr.warn(str(error))
            self._failures.append(str(error))
            return None


def _detach(source: int) -> None:
    """Let go of the program's input and output, of the terminal's signals, and of its share of the processor."""
    signal.set_wakeup_fd(-1)
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1):
        if standard != source:
            os.dup2(null, standard)


def _give_way(niceness: int) -> None:
    """This thread, and those it will start, have time."""
    with contextlib.suppress(OSError):
        os.nice(niceness)


def _ring(source: int, memory: int) -> RingInbox:
    from rbinder.agent.memory import SharedMemory
    from rbinder.agent.ring import RingInbox

    return RingInbox(source, SharedMemory(memory))


def _watch(inbox: RingInbox, exchanges: Exchanges, early: Early | None) -> Watch:
    from rbinder.agent.watch import Watch

    return Watch(inbox.memory, inbox, exchanges, early=early)


def _repair(config: Config) -> None:
    """Put right what the SDK would stumble over; this process's environment is nobody else's."""
    for name, value in config.repairs.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _silence() -> None:
    """Libraries don't write to stderr: what matters of their warnings is said in rbinder's own words."""
    import logging
    import threading
    import warnings

    warnings.simplefilter("ignore")
    logging.raiseExceptions = False
    logging.getLogger().addHandler(logging.NullHandler())
    threading.excepthook = lambda _: None
