"""DNS: when a name was looked up and which addresses that gave, so that a connect can tell its look-up's times."""

from __future__ import annotations

import socket
import struct

PORT = 53  # RFC 1035, 4.2
_A, _AAAA = 1, 28  # RFC 1035, 3.2.2; RFC 3596
_MOST_ANSWERS = 256
_REMEMBERED = 5_000_000_000  # ns: a connect that comes later doesn't wait for this look-up


class Lookup:
    """A datagram socket that asks a name server."""

    __slots__ = ("_asked", "holders")

    def __init__(self) -> None:
        self.holders = 0
        self._asked = 0

    def asked(self, now: int) -> None:
        """A question goes out (CLOCK_MONOTONIC ns)."""
        if not self._asked:
            self._asked = now

    def answered(self, message: bytes, now: int) -> dict[str, tuple[int, int]]:
        """Addresses in an answer → (start, end) of the look-up."""
        return dict.fromkeys(addresses(message), (self._asked, now)) if self._asked else {}


class Answers:
    """What a process has looked up of late."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[str, tuple[int, int]] = {}

    def remember(self, found: dict[str, tuple[int, int]]) -> None:
        """Keep what an answer gave; the first question's time stands."""
        if len(self._times) > _MOST_ANSWERS:
            self._times.clear()
        self._times.update(found)

    def take(self, address: str, now: int) -> tuple[int, int]:
        """(start, end) of the look-up that gave `address`, (0, 0) for none; told once."""
        start, end = self._times.pop(address, (0, 0))
        return (start, end) if now - end < _REMEMBERED else (0, 0)


def addresses(message: bytes) -> list[str]:
    """The A and AAAA records of a DNS answer (RFC 1035, 4.1); empty for anything else."""
    try:
        _, flags, questions, answers = struct.unpack_from(">HHHH", message)
        if not flags & 0x8000:
            return []
        at = 12
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        found = []
        for _ in range(answers):
            at = _skip_name(message, at)
            kind, _, _, size = struct.unpack_from(">HHIH", message, at)
            data = message[at + 10 : at + 10 + size]
            at += 10 + size
            if kind == _A and len(data) == 4:
                found.append(socket.inet_ntop(socket.AF_INET, data))
            elif kind == _AAAA and len(data) == 16:
                found.append(socket.inet_ntop(socket.AF_INET6, data))
        return found
    except (struct.error, IndexError):
        return []


def _skip_name(message: bytes, at: int) -> int:
    """Past a name: labels up to a zero byte or a pointer (RFC 1035, 4.1.4)."""
    while (length := message[at]) != 0:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1
