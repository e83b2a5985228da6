"""What the collector finds out by itself: deaths, connects that stay failed, losses."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from traffic import Traffic, number

from rbinder.agent import contract
from rbinder.agent.memory import SharedMemory
from rbinder.agent.ring import Mark
from rbinder.agent.watch import GRACE, Watch, birth
from rbinder.exchanges import Exchange, Exchanges
from rbinder.records import ConnectFailed, ConnectionInfo, Empty, Kind, Lost, Note, Record, RequestHead, Side

PID = (1 << 22) + 1  # nobody's: the kernel has none above 1 << 22


class Stream:
    """An inbox of which the test says what was taken."""

    def __init__(self) -> None:
        self.lost_requests = 0
        self.position = 0
        self.taken = 0

    def mark(self) -> Mark:
        return Mark(self.position)

    def is_past(self, mark: Mark) -> bool:
        return self.taken >= mark.position


class Watched:
    """A Watch and what surrounds it."""

    def __init__(self, verbosity: int = 0) -> None:
        settings = contract.Settings(bytes(16), 0, 0, False, verbosity, 4096)
        self.descriptor = os.memfd_create("shared")
        os.ftruncate(self.descriptor, settings.size)
        os.pwrite(self.descriptor, contract.initial(settings), 0)
        self.stream, self.exchanges = Stream(), Exchanges()
        self.watch = Watch(SharedMemory(self.descriptor), self.stream, self.exchanges)
        self.now = time.monotonic_ns()

    def take(self, *records: Record) -> list[Exchange]:
        """As the collector does."""
        ended = []
        for record in records:
            shown = self.watch.see(record) if record.kind in self.watch.kinds else [record]
            ended += [exchange for each in shown for exchange in self.exchanges.feed(each)]
        return ended

    def later(self, seconds: float) -> list[Record]:
        """What is told that much later."""
        self.now += int(seconds * 1e9)
        return self.watch.due(self.now)

    def set(self, offset: int, value: int) -> None:
        os.pwrite(self.descriptor, value.to_bytes(4, "little"), offset)


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    os.close(made.descriptor)


def ended(exchanges: list[Exchange]) -> list[tuple[bytes, str]]:
    return [(each.span_id, each.error_type) for each in exchanges]


def test_a_death_ends_what_is_open_once_all_its_records_were_taken(watched: Watched) -> None:
    traffic = Traffic(pid=PID)
    watched.take(traffic.process(), traffic.connection(1))
    watched.take(traffic.request(number(1)), traffic.request(number(2), side=Side.CLIENT, connection=2))
    watched.take(traffic.request(number(3), side=Side.CLIENT, connection=3), traffic.response(number(3)))
    watched.stream.position = 100
    assert watched.later(1) == []
    assert watched.take(traffic.response(number(2)), traffic.end(number(2))) != []
    assert watched.later(1) == []
    watched.stream.taken = 100
    told = watched.later(0.001)
    assert ended(watched.take(*told)) == [(number(1), "connection_closed"), (number(3), "connection_closed")]
    assert told[-1].kind is Kind.PROCESS_EXIT
    assert watched.later(5) == []
    assert watched.watch.wait(watched.now) is None


@pytest.mark.parametrize(
    ("side", "response", "error_type"),
    [
        (Side.CLIENT, None, "timeout"),
        (Side.CLIENT, b"HTTP/1.1 200 OK\r\n\r\n", "connection_closed"),
        (Side.SERVER, None, "connection_closed"),
        (Side.SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "connection_closed"),
        (Side.SERVER, b"HTTP/1.1 200 OK\r\n\r\n", ""),
    ],
)
def test_what_a_death_means(watched: Watched, side: Side, response: bytes | None, error_type: str) -> None:
    traffic = Traffic(pid=PID)
    watched.take(traffic.process(), traffic.request(number(1), side=side))
    if response is not None:
        watched.take(traffic.response(number(1), response, side))
    assert ended(watched.take(*watched.later(1))) == [(number(1), error_type)]


def test_the_living_are_left_alone_and_the_killed_noticed(watched: Watched) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        traffic = Traffic(pid=process.pid)
        watched.take(traffic.process(), traffic.request(number(1)))
        for _ in range(3):
            assert watched.later(1) == []
        process.send_signal(signal.SIGKILL)
        # its zombie stays until it is waited for
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert ended(watched.take(*watched.later(1))) == [(number(1), "connection_closed")]


def test_who_cannot_be_looked_at_is_left_alone(watched: Watched) -> None:
    """Processes of other PID namespaces: their ids mean nothing here."""
    traffic = Traffic(pid=contract.MADE_UP + 5)
    watched.take(traffic.process(), traffic.request(number(1), side=Side.CLIENT))
    assert watched.later(5) == []
    assert watched.watch.wait(watched.now) is None
    assert watched.watch.finish(watched.now) == []


def test_a_new_image_ends_what_the_former_had_open(watched: Watched) -> None:
    traffic = Traffic(pid=os.getpid())
    watched.take(traffic.process(), traffic.request(number(1), side=Side.CLIENT))
    assert ended(watched.take(traffic.process("/bin/other"))) == [(number(1), "timeout")]
    assert watched.take(traffic.request(number(2))) == []
    (made,) = watched.take(traffic.end(number(2)))
    assert made.process.info.executable == "/bin/other"
    assert watched.later(1) == watched.later(1) == []


def test_a_number_used_again_is_another_process(watched: Watched) -> None:
    births = {PID: 5}
    watched.watch._born = lambda pid: births[pid]
    traffic = Traffic(pid=os.getpid())
    births[os.getpid()] = 7
    watched.take(traffic.process(), traffic.request(number(1)))
    assert watched.later(1) == watched.later(1) == []
    births[os.getpid()] = 8
    assert ended(watched.take(*watched.later(1))) == [(number(1), "connection_closed")]


def test_birth() -> None:
    assert birth(os.getpid()) == birth(os.getpid()) > 0
    assert birth(PID) == 0
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert birth(process.pid) == 0


def failed(traffic: Traffic, exchange: bytes, now: int) -> Record:
    request = RequestHead(Side.CLIENT, bytes(range(16)), bytes(8), False, 1, now - 1000, "", b"")
    record = traffic.record(Kind.CONNECT_FAILED, ConnectFailed("connection_refused", request), 1, exchange)
    record.time = now
    return record


def test_a_failed_connect_is_told_when_none_has_succeeded(watched: Watched) -> None:
    traffic = Traffic(pid=os.getpid())
    assert watched.take(failed(traffic, number(1), watched.now)) == []
    assert 0.3 < (watched.watch.wait(watched.now) or 0) <= 0.4
    assert watched.later(0.3) == []
    watched.stream.position = 10
    assert watched.later(0.2) == []  # a retraction may still be in the ring
    watched.stream.taken = 10
    (made,) = watched.take(*watched.later(0.001))
    assert (made.span_id, made.error_type, made.ended - made.started) == (number(1), "connection_refused", 1000)
    assert watched.later(1) == []


def test_a_failed_connects_connection_is_told_though_it_is_closed(watched: Watched) -> None:
    traffic, peer = Traffic(pid=os.getpid()), ConnectionInfo(Side.CLIENT, "127.0.0.1", 1, "", 0)
    watched.take(traffic.connection(1, peer))
    watched.take(failed(traffic, number(1), watched.now), traffic.closed(1))
    (made,) = watched.take(*watched.later(GRACE / 1e9 + 0.1))
    assert made.connection == peer
    assert watched.exchanges.connection(1) is None


def test_a_retracted_failure_is_never_told(watched: Watched) -> None:
    traffic = Traffic(pid=os.getpid())
    watched.take(failed(traffic, number(1), watched.now), failed(traffic, number(2), watched.now))
    watched.take(traffic.record(Kind.CONNECT_RETRACTED, Empty(), 1, number(1)))
    assert [each.span_id for each in watched.take(*watched.later(GRACE / 1e9 + 0.1))] == [number(2)]


def test_a_failed_connect_is_told_at_its_processs_end_and_at_the_end_of_all(watched: Watched) -> None:
    traffic, other = Traffic(pid=PID), Traffic(pid=os.getpid())
    watched.take(traffic.process(), failed(traffic, number(1), watched.now + 1_000_000_000))
    watched.take(failed(other, number(2), watched.now + 1_000_000_000))
    assert [each.span_id for each in watched.take(*watched.later(0.5))] == [number(1)]
    assert [each.span_id for each in watched.take(*watched.watch.finish(watched.now))] == [number(2)]


def test_losses_are_told_at_the_end(watched: Watched) -> None:
    watched.set(contract.DROPPED_REQUESTS, 5)
    watched.set(contract.UNTRACED, 2)
    watched.set(contract.DROPPED, 99)
    watched.stream.lost_requests = 1
    (lost,) = watched.watch.finish(watched.now)
    assert lost.payload == Lost(8)


def test_another_version_is_told_once(watched: Watched) -> None:
    assert watched.later(1) == []
    watched.set(contract.REFUSED, 2)
    (note,) = watched.later(1)
    assert isinstance(note.payload, Note)
    assert note.payload.text == "2 processes have an agent of another version of rbinder: they are not traced"
    watched.set(contract.REFUSED, 3)
    assert watched.later(1) == watched.watch.finish(watched.now) == []


def test_unfollowed_calls_are_told_to_those_who_asked() -> None:
    for verbosity, expected in ((0, 0), (1, 1)):
        watched = Watched(verbosity)
        watched.set(contract.PASSED, 3)
        assert len(watched.watch.finish(watched.now)) == expected
        os.close(watched.descriptor)


def test_the_end_finds_the_dead(watched: Watched) -> None:
    traffic = Traffic(pid=PID)
    watched.take(traffic.process(), traffic.request(number(1), side=Side.CLIENT))
    assert ended(watched.take(*watched.watch.finish(watched.now))) == [(number(1), "timeout")]
