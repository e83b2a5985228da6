"""Sends that take only part of the bytes: the cut falls before, in and after what was inserted, and nobody notices.

A Unix socket with the smallest buffer takes a whole number of chunks, so a head's place decides where the cut falls.
Every scenario is run by itself and under rbinder, see replays.py.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
from pathlib import Path

import pytest
from conformance.wire_cases import PLACE
from harness import until
from processes import children
from replays import Play, Sent, Session, Step, Wire, run_both
from wire_checks import OK, check

from rbinder.ptrace.subscriptions import numbers

LINE = len(b"traceparent: 00-" + b"t" * 32 + b"-" + b"s" * 16 + b"-03\r\n")
BODY = b"b" * 4000
TRACE = b"0af7651916cd43dd8448eb211c80319c"


def padded(size: int, body: bytes = BODY) -> bytes:
    """A request whose blank line begins at `size`."""
    start = b"POST / HTTP/1.1\r\nContent-Length: %d\r\nX: " % len(body)
    return start + b"x" * (size - len(start) - 2) + b"\r\n" + PLACE + b"\r\n" + body


def legal(sent: list[Sent]) -> None:
    for call in sent:
        assert call.result <= call.size
        assert call.result > 0 or call.error in (errno.EAGAIN, errno.EINTR)


def slow(session: Session, slot: int = 1, room: int = 1) -> Wire:
    """A connection that doesn't wait, to a peer that reads only what has come when nothing goes any more."""
    wire = session.connect(slot=slot, room=room, record=False)
    wire.do("nonblock", 1)
    return wire


@pytest.fixture(scope="module")
def first_cut(replay: Path, engine: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many bytes the smallest buffer takes at once."""

    def scenario(session: Session) -> None:
        wire = slow(session)
        wire.send(b"\0" * 20_000)
        wire.finish()

    outcome, _ = run_both(scenario, replay, engine, tmp_path_factory.mktemp("cut"))
    assert 0 < outcome.sent[0].result < 20_000
    return outcome.sent[0].result


@pytest.mark.parametrize("call", ["write", "writev", "sendto", "sendmsg", "control", "dontwait"])
def test_the_cut_falls_everywhere(play: Play, first_cut: int, call: str) -> None:
    """The kernel takes r bytes; the blank line is at k, with L inserted: every r from k - 1 to k + L + 2."""
    distances = range(-1, LINE + 3)

    def scenario(session: Session) -> None:
        for distance in distances:
            wire = slow(session)
            wire.send(padded(first_cut - distance), call, "1000,1,2000")
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    places = [first_cut - distance for distance in distances]
    assert firsts(outcome.sent) == [
        min(place, first_cut) + max(0, distance - LINE) for place, distance in zip(places, distances, strict=True)
    ]


def test_the_cut_falls_everywhere_in_the_first_of_many_messages(play: Play, first_cut: int) -> None:
    def scenario(session: Session) -> None:
        for distance in range(-1, LINE + 3):
            wire = slow(session)
            wire.send(padded(first_cut - distance), "sendmmsg", f"{first_cut},900")
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)


def firsts(sent: list[Sent]) -> list[int]:
    """What the first call for each request was told: the one that doesn't go on with what another left over."""
    left, found = 0, []
    for call in sent:
        if not left:
            found.append(call.result)
        left = call.size - max(call.result, 0)
    return found


@pytest.mark.parametrize("call", ["write", "sendmsg"])
def test_the_cut_falls_in_what_is_replaced(
    replay: Path, engine: str, tmp_path: Path, first_cut: int, call: str
) -> None:
    """A forwarded context whose span id is replaced in place, and the rest sent in small pieces."""
    line = b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\n"

    def scenario(session: Session) -> None:
        served = session.accept()
        served.receive(b"GET / HTTP/1.1\r\n" + line + b"\r\n")
        for distance in range(-1, 19):  # from the span id's first byte to where the cut falls
            for piece in (1, 7, 5000):
                start = b"POST / HTTP/1.1\r\nContent-Length: %d\r\nX: " % len(BODY)
                filler = b"x" * (first_cut - distance - line.index(b"b") - len(start) - 2)
                message = start + filler + b"\r\n" + line + b"\r\n" + BODY
                wire = slow(session)
                wire.send(message, call, repeat=False)
                session.step(wire.drain)
                small = range(first_cut, first_cut + 40, piece)
                for at in small:
                    wire.send(message[at : at + piece], call)
                wire.send(message[small[-1] + piece :], call)
                wire.expected = bytearray(message)
                wire.finish()
        served.send(OK)
        served.finish()

    spans = tmp_path / "spans"
    _, (_, *wires) = run_both(scenario, replay, engine, tmp_path, ("-x", "file", "-o", str(spans)))
    told = spans.read_text()
    for wire in wires:
        at = wire.expected.index(b"b" * 16)
        assert wire.received[:at] + wire.received[at + 16 :] == wire.expected[:at] + wire.expected[at + 16 :]
        identifier = wire.received[at : at + 16].decode()
        assert f'"{identifier}"' in told  # the call's span, or the one it was forwarded from


def test_more_is_inserted_than_there_is_room(play: Play) -> None:
    """The blank line in a call of its own: several times none of it goes out, and it is told so."""
    baggage = b"baggage: a=%s\r\n" % (b"b" * 7900)

    def scenario(session: Session) -> None:
        served = session.accept()
        served.receive(b"GET / HTTP/1.1\r\ntraceparent: 00-" + TRACE + b"-b7ad6b7169203331-01\r\n" + baggage + b"\r\n")
        for call in ("write", "sendmsg", "sendmmsg", "dontwait"):
            for cut in (1, 2):
                wire = slow(session)
                wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
                wire.send(PLACE + b"\r\n"[:cut], call)
                wire.send(b"\r\n"[cut:], call)
                wire.finish()
        served.send(OK)
        served.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    assert sum(call.error == errno.EAGAIN for call in outcome.sent) >= 8
    assert all(wire.received.count(baggage) == 1 for wire in wires[1:])


@pytest.mark.parametrize("call", ["write", "writev", "sendmsg"])
def test_tcp_with_a_small_buffer_and_a_slow_peer(play: Play, call: str) -> None:
    def scenario(session: Session) -> None:
        for size in range(100, 8000, 397):
            wire = session.connect("tcp", room=1, record=False)
            wire.do("nonblock", 1)
            wire.send(padded(size, b"b" * 200_000) + padded(size), call, "57,57,57")
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    assert any(call.error == errno.EAGAIN for call in outcome.sent)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("readable", [4990, 5000, 5001, 5050, 8000])
def test_memory_that_cannot_be_read(play: Play, kind: str, readable: int) -> None:
    """A call whose buffer ends in a hole, then one that is sound: the blank line is at 5000."""
    message = padded(5000)

    def scenario(session: Session) -> None:
        wire = session.connect(kind)
        wire.send(message, "hole", str(readable))
        wire.finish()

    outcome, (wire,) = play(scenario)
    assert outcome.sent[0].result <= readable
    if readable <= 5000:
        wire.expected = wire.expected.replace(PLACE, b"")  # what couldn't be read isn't understood
    check([wire])


# -- calls that wait, and are interrupted

SENDING = {numbers(platform.machine())[name] for name in ("write", "writev", "sendto", "sendmsg", "sendmmsg")}


def waits_in_a_send(pid: int) -> bool:
    """Whether the process sleeps in a call that sends, and has no signal to see to."""
    try:
        call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, IndexError):
        return False
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)
    return call.isdigit() and int(call) in SENDING and lines["State"].startswith("S") and not pending


def descendants(pid: int) -> list[int]:
    """A process and all below it. Those that end meanwhile, threads too, have none."""
    found = [pid]
    for each in found:
        for task in _entries(f"/proc/{each}/task"):
            found += children(each, task)
    return found


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def sender(session: Session) -> int:
    """The process that waits in a send, as soon as there is one."""
    assert session.process is not None
    root = session.process.pid
    (pid,) = until(lambda: [pid for pid in descendants(root) if waits_in_a_send(pid)], lambda: "a send that waits")
    return pid


def interrupt(session: Session, wire: Wire) -> Step:
    """When the program waits in a send: interrupt it; when it waits again, let all go."""

    def act() -> None:
        os.kill(sender(session), signal.SIGUSR1)
        sender(session)
        wire.record()

    return lambda: act


@pytest.mark.parametrize("restart", [0, 1])
@pytest.mark.parametrize("distance", [-200, 0, 1, LINE - 1, LINE, LINE + 1, 400])
def test_a_waiting_send_is_interrupted(play: Play, first_cut: int, restart: int, distance: int) -> None:
    """Part was taken, the call waits for room, a signal comes: the part is the result, with SA_RESTART or without."""

    def scenario(session: Session) -> None:
        session.line(f"signals {restart}")
        for call in ("write", "sendmsg"):
            wire = session.connect(room=1, record=False)
            session.step(interrupt(session, wire))
            wire.send(padded(first_cut - distance), call)
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    part = min(first_cut - distance, first_cut) + max(0, distance - LINE)
    assert firsts(outcome.sent) == [part, part]


@pytest.mark.parametrize("restart", [0, 1])
def test_a_send_of_nothing_is_interrupted(play: Play, first_cut: int, restart: int) -> None:
    """No room at all: with SA_RESTART the call goes on, without it fails with EINTR."""
    message = padded(700)
    size = len(message.replace(PLACE, b""))

    def scenario(session: Session) -> None:
        session.line(f"signals {restart}")
        for call in ("write", "sendmsg", "writev"):
            wire = session.connect(room=1, record=False)
            extra = LINE if session.traced else 0
            body = b"f" * (first_cut - extra - 2 - 100)
            wire.send(padded(100, body))
            session.step(interrupt(session, wire))
            wire.send(message, call, "3,4")
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    told = [(call.result, call.error) for call in outcome.sent if call.size == size]
    assert told == ([(size, 0)] if restart else [(-1, errno.EINTR), (size, 0)]) * 3


@pytest.mark.parametrize("restart", [0, 1])
def test_only_ours_went_out_when_it_was_interrupted(play: Play, restart: int) -> None:
    """The blank line alone, behind more than fits: nothing of the program's is sent, so it is restarted or fails."""
    baggage = b"baggage: a=%s\r\n" % (b"b" * 7900)

    def scenario(session: Session) -> None:
        session.line(f"signals {restart}")
        served = session.accept()
        served.receive(b"GET / HTTP/1.1\r\ntraceparent: 00-" + TRACE + b"-b7ad6b7169203331-01\r\n" + baggage + b"\r\n")
        wire = session.connect(room=1, record=False)
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        session.step(interrupt(session, wire) if session.traced else wire.record)
        wire.send(PLACE + b"\r\n", "write")
        wire.finish()
        served.send(OK)
        served.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
    told = [(call.result, call.error) for call in outcome.sent[1:-1]]
    assert told == ([(2, 0)] if restart else [(-1, errno.EINTR), (2, 0)])


@pytest.mark.parametrize("answer", [b"\0\1\2\3nonsense", b"HTTP/1.1 101 Go\r\n\r\n"])
def test_hands_off_with_a_line_half_inserted(play: Play, first_cut: int, answer: bytes) -> None:
    """The second of two requests is cut within its line, and the first is answered: the line is finished, no more."""
    first = b"GET /first HTTP/1.1\r\n" + PLACE + b"\r\n"

    def scenario(session: Session) -> None:
        for distance in range(-1, LINE + 2):
            wire = slow(session)
            size = first_cut - distance - LINE - (len(first) - len(PLACE))
            marked = padded(size, b"b" * 9000)
            if distance <= 0:
                marked = marked.replace(PLACE, b"")  # none of it was sent
            wire.send(first + marked, repeat=False)
            session.step(wire.drain)
            wire.receive(answer)
            wire.do("rest")
            wire.send(first.replace(PLACE, b""))
            wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)


def answer_when_it_waits(session: Session, wire: Wire, answer: bytes) -> Step:
    def act() -> None:
        sender(session)
        wire.feed(answer)

    return lambda: act


def test_an_answer_comes_while_the_request_is_sent(play: Play, first_cut: int) -> None:
    """Another thread reads nonsense from the connection: the call that is under way is told its own length."""

    def scenario(session: Session) -> None:
        for answer in (b"\0\1\2\3nonsense", b"HTTP/1.1 101 Go\r\n\r\n", OK):
            for distance in (1, LINE - 1, 200):
                wire = session.connect(room=1, record=False)
                session.line("spawn")
                wire.take(answer)
                session.step(wire.record)
                session.line("done")
                session.step(answer_when_it_waits(session, wire, answer))
                wire.send(padded(first_cut - distance), "write")
                session.line("join")
                wire.finish()

    outcome, wires = play(scenario)
    check(wires)
    legal(outcome.sent)
