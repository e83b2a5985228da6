"""The records' way out of an engine: it never waits, it loses only what it counts, and it keeps the order."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator

import pytest

from rbinder import channel
from rbinder.channel import NullSink, Sink, open_pipe
from rbinder.records import Decoder, Kind, Lost, Note, Record

SMALLEST = 4096  # bytes; one page, the least a pipe may have (pipe(7))
PATIENCE = 5.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A small pipe: (read end, write end). The test closes the write end, or leaves that to the sink."""
    reader, writer = open_pipe()
    fcntl.fcntl(writer, channel._F_SETPIPE_SZ, SMALLEST)
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)


def note(number: int, size: int = 0) -> Record:
    return Record(Kind.NOTE, number, 1, 2, payload=Note("x" * size))


def drain(reader: int) -> bytes:
    """What is in the pipe now."""
    data = b""
    try:
        while piece := os.read(reader, 65536):
            data += piece
    except BlockingIOError:
        pass
    return data


def records(data: bytes) -> list[Record]:
    return list(Decoder().feed(data))


def received_all(reader: int, sink: Sink) -> list[Record]:
    """Read and flush until nothing is left."""
    data = drain(reader)
    while sink.pending:
        sink.flush()
        data += drain(reader)
    return records(data)


def test_the_pipe() -> None:
    reader, writer = open_pipe()
    try:
        assert not os.get_blocking(writer)
        assert not os.get_inheritable(reader)
        assert not os.get_inheritable(writer)
        assert fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ) in (channel.PIPE_SIZE, channel.PIPE_SIZE >> 2, 65536)
    finally:
        os.close(reader)
        os.close(writer)


def test_records_arrive_in_their_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer)
    for number in range(500):
        sink.put(note(number, number % 97))
    got = received_all(reader, sink)
    assert [record.time for record in got] == list(range(500))
    assert not sink.pending
    sink.close(time.monotonic() + PATIENCE)


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, int]) -> None:
    """Were the write end a blocking one, this would not end: nobody reads."""
    reader, writer = pipe
    sink = Sink(writer)
    for number in range(100):
        sink.put(note(number, 1000))
    assert sink.pending
    assert sink.lost == 0
    assert [record.time for record in received_all(reader, sink)] == list(range(100))
    os.close(writer)


def test_a_record_larger_than_the_pipe_goes_in_pieces(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink(writer)
    sink.put(note(1, 5 * SMALLEST))
    first = drain(reader)
    assert 0 < len(first) <= SMALLEST
    assert records(first) == []
    data = first
    while sink.pending:
        sink.flush()
        data += drain(reader)
    assert records(data) == [note(1, 5 * SMALLEST)]
    os.close(writer)


def test_what_is_too_much_is_counted_and_told_later(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    monkeypatch.setattr(channel, "_BACKLOG", 10_000)
    sink = Sink(writer)
    for number in range(100):
        sink.put(note(number, 1000))
    lost = sink.lost
    assert 0 < lost < 100
    before = received_all(reader, sink)
    sink.put(note(1000))
    after = received_all(reader, sink)
    assert [record.time for record in before] == list(range(100 - lost))
    assert [record.kind for record in after] == [Kind.LOST, Kind.NOTE]
    assert after[0].payload == Lost(lost)
    assert sink.lost == 0
    os.close(writer)


def test_what_was_lost_is_told_at_the_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    monkeypatch.setattr(channel, "_BACKLOG", 3000)
    sink = Sink(writer)
    for number in range(20):
        sink.put(note(number, 1000))
    lost = sink.lost
    got = received_all(reader, sink)
    sink.close(time.monotonic() + PATIENCE)
    got += records(drain(reader))
    assert len(got) == 20 - lost + 1
    assert got[-1].payload == Lost(lost)


def test_the_reader_is_gone(pipe: tuple[int, int]) -> None:
    """The write fails with EPIPE (Python ignores SIGPIPE): nothing is raised, kept or tried again."""
    reader, writer = open_pipe()
    os.close(reader)
    sink = Sink(writer)
    for number in range(10):
        sink.put(note(number))
    assert not sink.pending
    assert sink.lost == 9
    sink.close(time.monotonic() + PATIENCE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
    os.close(pipe[1])


def test_the_reader_goes_while_records_wait(pipe: tuple[int, int]) -> None:
    reader, writer = open_pipe()
    fcntl.fcntl(writer, channel._F_SETPIPE_SZ, SMALLEST)
    sink = Sink(writer)
    sink.put(note(1, 3 * SMALLEST))
    assert sink.pending
    os.close(reader)
    sink.flush()
    assert not sink.pending
    sink.close(time.monotonic() + PATIENCE)
    os.close(pipe[1])


def test_closing_ends_at_its_deadline(pipe: tuple[int, int]) -> None:
    """A collector that is stopped reads nothing: the rest is given up."""
    _, writer = pipe
    sink = Sink(writer)
    sink.put(note(1, 3 * SMALLEST))
    sink.close(time.monotonic())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_the_null_sink_takes_everything() -> None:
    sink = NullSink()
    sink.put(note(1))
    sink.close(0.0)
    assert not sink.pending
    assert sink.lost == 0
