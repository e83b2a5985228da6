"""Conversations made up at random, hundreds on the connections of one process: not one byte is another under rbinder.

Seeded: batches RBINDER_FUZZ_SEED (default 1) and the RBINDER_FUZZ_BATCHES - 1 (default 4) that follow it are played.
Half of the conversations are sound, and each of their requests must get its line in its place; the rest are damaged,
and there nothing may be different but for whole blocks of lines directly before a blank line.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.wire_cases import CASES, END, PLACE
from replays import Session, Wire, run_both
from wire_checks import difference, inserted, without_blocks

SEED = int(os.environ.get("RBINDER_FUZZ_SEED", "1"))
BATCHES = int(os.environ.get("RBINDER_FUZZ_BATCHES", "5"))
CONNECTIONS = 700  # of a batch
LARGEST = 200 << 10  # bytes of a body
SENDS = ("write", "writev", "send", "sendto", "sendmsg", "control", "sendmmsg", "more")
RECEIVES = ("read", "readv", "recv", "all", "recvmsg", "recvmmsg", "peek")
MOVES = ("sendfile", "splice")
SAMPLES = [case.wire for case in CASES if not case.large]


class Maker:
    """Makes messages, and cuts them."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def size(self) -> int:
        """Mostly small, now and then large."""
        return int(2 ** self.random.uniform(0, 17.6)) if self.random.random() < 0.3 else self.random.randrange(80)

    def body(self) -> bytes:
        """Bytes that may look like anything but our marks."""
        size = min(self.size(), LARGEST)
        kind = self.random.random()
        if kind < 0.3:
            return (self.random.choice(SAMPLES) * (size // 8 + 1))[:size]
        if kind < 0.6:
            return self.random.randbytes(size).replace(PLACE, b"").replace(END, b"")
        return b"GET / HTTP/1.1\r\n\r\n" * (size // 18)

    def chunked(self, body: bytes) -> bytes:
        """`body` in chunks, with extensions and trailers."""
        parts, at = [], 0
        while at < len(body):
            piece = body[at : at + self.random.randint(1, 30_000)]
            extension = self.random.choice((b"", b"", b";a=b", b' ; c="d"'))
            parts.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
            at += len(piece)
        return b"".join(parts) + self.random.choice((b"0\r\n\r\n", b"00\r\nT: u\r\n\r\n"))

    def message(self, start: bytes, bodiless: bool, lengthless: bool) -> bytes:
        """A message with a PLACE in its head. `bodiless`: it has no body, whatever its head says."""
        end = self.random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
        lines = [b"Host: a"]
        for _ in range(self.random.randrange(4)):
            lines.append(b"X-%d:%s" % (self.random.randrange(99), b" v" * self.random.randrange(40)))
        if self.random.random() < 0.02:
            lines.append(b"X-Long: " + b"l" * self.random.randrange(100_000))
        body = b""
        kind = self.random.choice(("counted", "chunked", "none") if lengthless else ("counted", "chunked"))
        if kind == "counted":
            body = self.body()
            lines.append(b"Content-Length: %d" % len(body))
        elif kind == "chunked":
            body = self.chunked(self.body())
            lines.append(b"Transfer-Encoding: chunked")
        self.random.shuffle(lines)
        head = start + end + b"".join(line + end for line in lines) + PLACE + end
        return head if bodiless else head + body

    def request(self) -> tuple[bytes, bytes]:
        """A method, and a request with it."""
        method = self.random.choice((b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"X-ODD"))
        target = b"/%d?%s" % (self.random.randrange(1000), b"q" * self.random.randrange(60))
        return method, self.message(b"%s %s HTTP/1.1" % (method, target), False, True)

    def response(self, method: bytes) -> bytes:
        """A response, without a PLACE: nothing is inserted there."""
        interim = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * (self.random.random() < 0.1)
        status = self.random.choice((200, 200, 200, 204, 304, 404, 500))
        bodiless = method == b"HEAD" or status in (204, 304)
        return interim + self.message(b"HTTP/1.1 %d X" % status, bodiless, bodiless).replace(PLACE, b"")

    def damage(self, data: bytes) -> bytes:
        """Some bytes changed, left out or put in."""
        damaged = bytearray(data)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(min(len(damaged), 300) + 1)
            how = self.random.randrange(4)
            if how == 0:
                damaged[at : at + 1] = self.random.randbytes(1)
            elif how == 1:
                del damaged[at : at + self.random.randrange(8)]
            elif how == 2:
                damaged[at:at] = self.random.choice((b"\r\n\r\n", b"\n", b"\0", b":", *SAMPLES))
            else:
                del damaged[at:]
        return bytes(damaged).replace(PLACE, b"").replace(END, b"") or b"?"

    def splits(self) -> str:
        return ",".join(str(self.random.randrange(60)) for _ in range(self.random.randrange(1, 12)))

    def pieces(self, data: bytes) -> list[bytes]:
        """`data` cut somewhere, also next to the places; PLACE stays whole."""
        cuts = {self.random.randrange(len(data) + 1) for _ in range(self.random.randrange(5))}
        at = data.find(PLACE)
        while at >= 0:
            if self.random.random() < 0.5:
                cuts.add(self.random.choice((at - 1, at, at + len(PLACE), at + len(PLACE) + 1)))
            cuts -= {at + 1, at + 2}
            at = data.find(PLACE, at + 1)
        edges = [0, *sorted(cuts), len(data)]
        return [data[begin:end] for begin, end in itertools.pairwise(edges) if end > begin]


def send(maker: Maker, wire: Wire, data: bytes, moving: bool = False) -> None:
    for piece in maker.pieces(data):
        call = maker.random.choice(SENDS)
        if moving and PLACE not in piece and maker.random.random() < 0.2:
            call = maker.random.choice(MOVES)
        wire.send(piece, call, maker.splits())


def as_client(maker: Maker, session: Session, damaged: bool) -> Wire:
    """Requests, pipelined or one by one, and their responses."""
    slow = maker.random.random() < 0.3  # the program doesn't wait, and the peer reads only when nothing goes any more
    kind = maker.random.choice(("unix", "tcp", "nontcp"))
    wire = session.connect(kind, room=maker.random.choice((0, 1, 1, 9000)), record=not slow)
    if slow:
        wire.do("nonblock", 1)
    for _ in range(maker.random.randint(1, 3)):
        asked = [maker.request() for _ in range(maker.random.choice((1, 1, 1, 2, 5)))]
        stream = b"".join(request for _, request in asked)
        answers = b"".join(maker.response(method) for method, _ in asked)
        if damaged:
            stream, answers = maker.damage(stream.replace(PLACE, b"")), maker.damage(answers)
        send(maker, wire, stream)
        wire.receive(answers, maker.random.choice(RECEIVES))
    wire.finish()
    return wire


def as_server(maker: Maker, session: Session, damaged: bool) -> Wire:
    wire = session.accept()
    for _ in range(maker.random.randint(1, 3)):
        method, request = maker.request()
        request, answer = request.replace(PLACE, b""), maker.response(method)
        if damaged:
            request, answer = maker.damage(request), maker.damage(answer)
        wire.receive(request, maker.random.choice(RECEIVES))
        send(maker, wire, answer, moving=True)
    wire.finish()
    return wire


Play = Callable[[Maker, Session, bool], Wire]


@pytest.mark.parametrize("seed", range(SEED, SEED + BATCHES))
def test_random_conversations(replay: Path, engine: str, tmp_path: Path, seed: int) -> None:
    sound: list[bool] = []

    def scenario(session: Session) -> None:
        sound.clear()
        for number in range(CONNECTIONS):
            maker = Maker(f"{seed}/{number}")
            play: Play = maker.random.choice((as_client, as_client, as_server))
            damaged = maker.random.random() < 0.5
            sound.append(not damaged)
            play(maker, session, damaged)

    _, wires = run_both(scenario, replay, engine, tmp_path)
    changed = {number: what for number, wire in enumerate(wires) if (what := change(wire, sound[number]))}
    assert not changed


def change(wire: Wire, sound: bool) -> str:
    """What is different at the peer from what was sent, the lines in their places apart; "" for nothing."""
    received, expected = bytes(wire.received), bytes(wire.expected)
    if not sound:
        rest = without_blocks(received)
        return "" if rest == expected else difference(rest, expected)
    try:
        inserted(received, expected)
    except AssertionError as error:
        return str(error)
    return ""
