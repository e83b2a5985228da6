"""The Python scanners and the C ones side by side: every command goes to both; their answers must be the same line."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from native import SANITIZED, build
from rbinder.http.events import End, Event, Head
from rbinder.http.heads import reduce_head
from rbinder.http.scanner import RequestScanner, ResponseScanner

SOURCES = (
    "http_driver.c",
    "memory.c",
    "memory_twin.c",
    "scanner.c",
    "lines.c",
    "fields.c",
    "walk.c",
    "chunks.c",
    "heads.c",
    "headers.c",
)
_AHEAD = 32768  # bytes of commands written before their answers are read: less than a pipe takes

_NAMES = {
    b"traceparent": 1,
    b"tracestate": 2,
    b"baggage": 4,
    b"b3": 8,
    b"x-request-id": 32,
    b"x-ot-span-context": 64,
}

AnyScanner = RequestScanner | ResponseScanner


def build_driver(folder: Path, compiler: str = "gcc") -> Path:
    return build(SOURCES, folder / f"http-{compiler}", (*SANITIZED, "-DRBINDER_HOSTED"), compiler)


def present(head: Head) -> int:
    """The bits of enum context_name."""
    bits = 0
    for name in {name for name, _ in head.headers} | head.beyond:
        bits |= 16 if name.startswith(b"x-b3-") else _NAMES.get(name, 0)
    return bits


def tell(event: Event, base: int) -> str:
    if isinstance(event, Head):
        flags = event.chunked, event.interim, event.truncated, bool(event.upgrade), event.ends_connection
        return (
            f"head {base + event.at} {base + event.insert_at}"
            f"={event.raw.hex()}={event.method.hex()}={event.target.hex()}"
            f" {event.status} {event.version[-1] - 48} {len(event.newline)} {present(event)}"
            f" {event.content_length is not None:d} {event.content_length or 0} {''.join(map(str, map(int, flags)))};"
        )
    if isinstance(event, End):
        return f"end {base + event.at} {event.body_size};"
    return f"opaque {base + event.at};"


class Both:
    """A Python scanner and a C one that are told the same."""

    def __init__(self, driver: Path) -> None:
        self._process = subprocess.Popen([driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._waiting: list[tuple[bytes, str]] = []
        self._written = 0
        self.history: list[bytes] = []
        self.original: AnyScanner = RequestScanner()
        self.trial: AnyScanner | None = None

    def close(self) -> int:
        self.check()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait()
        self._process.stdout.close()
        return status

    @property
    def scanner(self) -> AnyScanner:
        return self.trial or self.original

    def _send(self, command: bytes, data: bytes, expected: str) -> None:
        assert self._process.stdin is not None
        if self._written + len(data) > _AHEAD:
            self.check()
        self._process.stdin.write(command + struct.pack("<I", len(data)) + data)
        self._written += len(data) + 5
        self.history.append(command + b" " + data)
        self._waiting.append((command, expected))

    def check(self) -> None:
        """The C answers to all that was told are the Python ones."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.flush()
        waiting, self._waiting, self._written = self._waiting, [], 0
        answers = [self._process.stdout.readline().decode().rstrip("\n") for _ in waiting]
        for (command, expected), answer in zip(waiting, answers, strict=True):
            assert answer == expected, (command, self.history[-60:])

    def _tell(self, command: bytes, data: bytes, events: Sequence[tuple[int, Event]], before: str = "") -> None:
        scanner = self.scanner
        state = f"{scanner.opaque:d}{scanner.idle:d} {scanner.skippable}"
        self._send(command, data, before + "".join(tell(event, base) for base, event in events) + state)

    def new(self, responses: bool, methods: Sequence[bytes] = ()) -> None:
        self.history.clear()
        self.trial = None
        self.original = ResponseScanner() if responses else RequestScanner()
        self._tell(b"R", b"%d" % responses, [], "0;")
        for method in methods:
            self.expect(method)

    def feed(self, data: bytes) -> list[Event]:
        events = self.scanner.feed(data)
        self._tell(b"F", data, [(0, event) for event in events])
        return events

    def pieces(self, data: bytes, step: int) -> None:
        events = []
        for at in range(0, len(data), step):
            events += [(at, event) for event in self.scanner.feed(data[at : at + step])]
        self._tell(b"B", struct.pack("<I", step) + data, events)

    def skip(self, count: int) -> None:
        self._tell(b"S", struct.pack("<Q", count), [(0, event) for event in self.scanner.skip(count)])

    def eof(self) -> None:
        self._tell(b"E", b"", [(0, event) for event in self.scanner.eof()])

    def expect(self, method: bytes) -> None:
        if isinstance(self.scanner, ResponseScanner):
            self.scanner.expect(method)
            self._tell(b"X", method, [])

    def give_up(self) -> None:
        self.scanner.give_up()
        self._tell(b"G", b"", [])

    def resume(self) -> None:
        if isinstance(self.scanner, RequestScanner):
            self.scanner.resume()
            self._tell(b"U", b"", [])

    def attempt(self) -> None:
        self.trial = self.original.copy()
        self._tell(b"T", b"", [])

    def commit(self) -> None:
        assert self.trial is not None
        self.original, self.trial = self.trial, None
        self._tell(b"C", b"", [])

    def abandon(self) -> None:
        self.trial = None
        self._tell(b"A", b"", [])

    def buffers(self, most: int) -> None:
        """How many held buffers the C side has. Python's are endless."""
        self._tell(b"P", struct.pack("<I", most), [])

    def reduce(self, raw: bytes, limit: int) -> None:
        self._send(b"H", struct.pack("<I", limit) + raw, f"={reduce_head(raw, limit).hex()}")

    def fields(self, head: Head, room: int = 1 << 17) -> None:
        """The fields as Head.headers has them; but for the case of names, which is the C caller's."""
        raw = head.raw
        told = "".join(f"={name.hex()}={value.lower().hex()}" for name, value in head.headers)
        self._send(b"I", struct.pack("<I", room) + raw.lower(), told)

    def memory(self, seed: int) -> None:
        self._send(b"M", struct.pack("<I", seed), "")
