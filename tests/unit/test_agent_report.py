"""The agent's records are what the Python binder's would be, byte by byte."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native import SANITIZED, build

from rbinder.http.heads import reduce_head
from rbinder.records import (
    HEAD_LIMIT,
    ExchangeFailed,
    Kind,
    MessageEnd,
    Payload,
    Record,
    RequestHead,
    ResponseHead,
    Side,
)

ORDER = struct.Struct("<cBBBBB16s8s8sQQQQIIII")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mine = ("report_driver.c", "report.c", "ring.c", "reader.c")
    http = ("memory.c", "scanner.c", "lines.c", "fields.c", "walk.c", "chunks.c", "heads.c", "headers.c")
    return build(mine + http, tmp_path_factory.mktemp("report") / "driver", (*SANITIZED, "-DRBINDER_HOSTED"))


@dataclass
class Told:
    """What the driver is ordered to tell of."""

    what: bytes
    side: Side
    parent: bytes | None
    flags: int
    is_response: bool
    state: bytes | None
    trace: bytes
    span: bytes
    identity: int
    started: int
    now: int
    body_size: int
    pid: int
    tid: int
    head: bytes

    def order(self) -> bytes:
        state, parent = self.state or b"", self.parent or bytes(8)
        fixed = ORDER.pack(
            self.what, self.side, self.parent is not None, self.flags, self.is_response, self.state is not None,
            self.trace, self.span, parent, self.identity, self.started, self.now, self.body_size, self.pid, self.tid,
            len(state), len(self.head),
        )  # fmt: skip
        return fixed + state + self.head

    def record(self) -> bytes:
        kind, payload = self._payload()
        return Record(kind, self.now, self.pid, self.tid, self.identity, self.span, payload).pack()

    def _payload(self) -> tuple[Kind, Payload]:
        if self.what == b"q":
            remote = self.side is Side.SERVER and self.parent is not None
            state, head = (self.state or b"").decode(), reduce_head(self.head, HEAD_LIMIT)
            parent = self.parent or bytes(8)
            return Kind.REQUEST_HEAD, RequestHead(
                self.side, self.trace, parent, remote, self.flags, self.started, state, head
            )
        if self.what == b"s":
            return Kind.RESPONSE_HEAD, ResponseHead(self.side, reduce_head(self.head, HEAD_LIMIT))
        if self.what == b"e":
            return Kind.MESSAGE_END, MessageEnd(self.side, self.is_response, self.body_size)
        return Kind.EXCHANGE_FAILED, ExchangeFailed(self.side, self.head.decode("ascii", "replace"))


LINES = st.sampled_from([b"Host: u:p@h:1", b"Cookie: a", b"User-Agent: \tx y", b"Content-Length: 12", b"Via: 1"])
STARTS = st.sampled_from([b"GET /a?sig=1&b=2 HTTP/1.1", b"POST http://u:p@h/ HTTP/1.0", b"HTTP/1.1 200 OK", b"no"])
HEADS = st.builds(lambda start, lines: b"\r\n".join([start, *lines, b"", b""]), STARTS, st.lists(LINES, max_size=9))
LONG = st.builds(
    lambda n: b"GET /" + b"a" * n + b" HTTP/1.1\r\n" + b"User-Agent: b\r\n" * 2000 + b"\r\n", st.integers(0, 20000)
)
NUMBERS = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=8, max_size=8)
STATES = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=600).map(str.encode)
TOLD = st.builds(
    Told,
    st.sampled_from([b"q", b"s", b"e"]), st.sampled_from(Side), st.none() | IDS, st.integers(0, 255), st.booleans(),
    STATES, st.binary(min_size=16, max_size=16), IDS, NUMBERS, NUMBERS, NUMBERS, NUMBERS,
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.one_of(HEADS, HEADS, LONG),
)  # fmt: skip
FAILED = st.builds(
    Told,
    st.just(b"f"), st.sampled_from(Side), st.none(), st.just(0), st.booleans(), st.none(), st.just(bytes(16)), IDS,
    NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.just(1), st.just(2), st.sampled_from([b"timeout", b"_OTHER", b""]),
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(TOLD, FAILED), min_size=1, max_size=20))
def test_records_are_equal(driver: Path, told: list[Told]) -> None:
    done = subprocess.run([driver], input=b"".join(each.order() for each in told), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(each.record() for each in told)


def test_a_tracestate_of_the_most_is_told_whole(driver: Path) -> None:
    told = Told(b"q", Side.SERVER, bytes(8), 1, False, b"a" * 65535, bytes(16), bytes(8), 1, 2, 3, 4, 5, 6, b"")
    done = subprocess.run([driver], input=told.order(), capture_output=True)
    assert done.stdout == told.record()
