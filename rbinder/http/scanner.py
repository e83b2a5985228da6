"""The two directions of an HTTP/1 connection: what starts a message, and what its head means for its body.

This file does no I/O. See `stream` for the states and `events` for what is reported.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from rbinder.http.events import End, Event, Head, Opaque
from rbinder.http.framing import (
    REQUEST,
    REQUEST_LINE,
    REQUEST_LINE_PREFIX,
    REQUEST_STARTS,
    RESPONSE,
    RESPONSE_STARTS,
    STATUS_LINE,
    STATUS_LINE_PREFIX,
    UNLIMITED,
    Framing,
    Start,
)
from rbinder.http.stream import START, TUNNEL, Scanner

__all__ = ["End", "Event", "Head", "Opaque", "RequestScanner", "ResponseScanner"]

MAX_OUTSTANDING = 65536  # requests without a response: more than any real pipeline


def _last_of_connection(version: bytes, body: Framing) -> bool:
    """RFC 9112 9.3."""
    return body.close or (version == b"1.0" and not body.keep_alive)


class RequestScanner(Scanner):
    """The direction in which requests travel."""

    __slots__ = ()

    _pattern, _line, _line_prefix, _starts = REQUEST, REQUEST_LINE, REQUEST_LINE_PREFIX, REQUEST_STARTS

    def resume(self) -> None:
        """A CONNECT was refused: the connection goes on with HTTP/1, unless bytes were sent ahead into the tunnel."""
        if self._state == TUNNEL:
            self._forget(START)

    def _awaits_message(self) -> bool:
        return True

    def _interpret(self, start: Start, raw: bytes, newline: bytes, body: Framing) -> Head | None:
        if body.other_coding or (body.chunked and start.version == b"1.0"):
            return None  # RFC 9112 6.1, 6.3: its length can't be told reliably
        return Head(
            "request",
            raw,
            0,
            0,
            newline,
            start.version,
            method=start.first,
            target=start.second,
            content_length=body.content_length,
            chunked=body.chunked,
            upgrade=body.upgrade,
            ends_connection=_last_of_connection(start.version, body),
        )

    def _begin_body(self, head: Head, body: Framing, at: int, events: list[Event]) -> None:
        if head.method == b"CONNECT":
            self._forget(TUNNEL)
            events += (End(at, 0), Opaque(at))
        else:
            self._expect_body(None if body.chunked else body.content_length or 0, at, events)


class ResponseScanner(Scanner):
    """The direction in which responses travel. Bytes that no request asked for are passed over."""

    __slots__ = ("_outstanding",)

    _pattern, _line, _line_prefix, _starts = RESPONSE, STATUS_LINE, STATUS_LINE_PREFIX, RESPONSE_STARTS

    def __init__(self) -> None:
        super().__init__()
        self._outstanding: deque[bytes] = deque()

    def expect(self, method: bytes) -> None:
        """A request with this method was sent; responses come in the order of their requests."""
        if len(self._outstanding) >= MAX_OUTSTANDING:
            self.give_up()
        if not self.opaque:
            self._outstanding.append(method)

    def copy(self) -> Self:
        other = super().copy()
        other._outstanding = self._outstanding.copy()
        return other

    def give_up(self) -> None:
        super().give_up()
        self._outstanding.clear()

    def _awaits_message(self) -> bool:
        return bool(self._outstanding)

    def _interpret(self, start: Start, raw: bytes, newline: bytes, body: Framing) -> Head | None:
        status = int(start.first)
        interim = status < 200 and status != 101
        counted = body.chunked or body.content_length is not None or self._bodiless(status)
        return Head(
            "response",
            raw,
            0,
            0,
            newline,
            start.version,
            status=status,
            interim=interim,
            content_length=body.content_length,
            chunked=body.chunked,
            upgrade=body.upgrade,
            ends_connection=not interim and (not counted or _last_of_connection(start.version, body)),
        )

    def _bodiless(self, status: int) -> bool:
        """RFC 9112 6.3, rules 1 and 2."""
        method = self._outstanding[0]
        return (
            status < 200 or status in (204, 304) or method == b"HEAD" or (method == b"CONNECT" and 200 <= status < 300)
        )

    def _begin_body(self, head: Head, body: Framing, at: int, events: list[Event]) -> None:
        if head.interim:
            self._forget(START)
            return
        bodiless = self._bodiless(head.status)
        method = self._outstanding.popleft()
        if head.status == 101 or (method == b"CONNECT" and 200 <= head.status < 300):
            events.append(End(at, 0))
            self._hands_off(at, events)
        elif bodiless:
            self._expect_body(0, at, events)
        elif body.chunked:
            self._expect_body(None, at, events)
        else:
            self._expect_body(UNLIMITED if body.content_length is None else body.content_length, at, events)
