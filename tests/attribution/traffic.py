"""The load and the back end: 64 connections ask a front, the back answers late and in any order, every call is judged.

Both ends are in this process. A request carries its number in its path and in its trace id; so does, where the front is
right, each call that is made for it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from attribution.rows import LEFT

CONNECTIONS = 64
PATIENCE = 90.0  # seconds for one answer: of a thousand that wait for 64 connections some wait long
LATE = 0.008  # seconds: an answer of the back's takes up to that long, and one in twenty five times as long
SETTLED = 0.3  # seconds without a call: those that nobody waited for have been made

_REQUEST = re.compile(rb"GET /leaf\?(\S*) HTTP/1\.[01]\r\n")
_TRACEPARENT = re.compile(rb"\r\ntraceparent:\s*00-([0-9a-f]{32})-", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:\s*close\r\n", re.IGNORECASE)  # some read answers to the end of the connection
_MARK = 0xABC << 96  # of the trace ids that were sent in


def trace_of(number: int) -> str:
    return f"{_MARK | number + 1:032x}"


def gives_up(number: int) -> bool:
    """One request in ten, of all shapes."""
    return number * 2654435761 % 2**32 < 2**32 // 10


@dataclass
class Verdicts:
    """How many calls of each shape were right, wrong (in another's trace), unbound (in a trace of their own)."""

    calls: dict[str, Counter[str]] = field(default_factory=dict)
    failed: int = 0  # requests that were not answered with 200
    wrongs: list[str] = field(default_factory=list)

    def add(self, shape: str, verdict: str) -> None:
        self.calls.setdefault(shape, Counter())[verdict] += 1

    def total(self, verdict: str = "") -> int:
        return sum(count[verdict] if verdict else count.total() for count in self.calls.values())


class Back:
    """Answers /leaf?id=N&shape=S, and judges whose trace the call came in."""

    def __init__(self, seed: int, disconnect: bool = False) -> None:
        self.verdicts = Verdicts()
        self._disconnect = disconnect
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self.port = 0
        self.last = 0.0  # when a call came

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Wait until no call comes any more."""
        loop = asyncio.get_running_loop()
        self.last = max(self.last, loop.time())
        while loop.time() < self.last + SETTLED:
            await asyncio.sleep(self.last + SETTLED - loop.time())
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                if length:
                    await reader.readexactly(int(length[1]))
                number = self._judge(head)
                late = self._random.random() * LATE * (5 if self._random.random() < 0.05 else 1)
                await asyncio.sleep(late)
                body = b'{"id": "%s"}' % number
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                if _CLOSE.search(head):
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _judge(self, head: bytes) -> bytes:
        self.last = asyncio.get_running_loop().time()
        request = _REQUEST.match(head)
        if request is None:
            return b"0"
        query = dict(part.split("=", 1) for part in request[1].decode().split("&"))
        found = _TRACEPARENT.search(head)
        trace = int(found[1], 16) if found else 0
        number = int(query["id"])
        if trace >> 96 != _MARK >> 96:
            verdict = "unbound"
        else:
            verdict = "right" if trace == int(trace_of(number), 16) else "wrong"
        shape = LEFT if self._disconnect and gives_up(number) else query.get("shape", "once")
        self.verdicts.add(shape, verdict)
        if verdict == "wrong":
            self.verdicts.wrongs.append(f"{shape}: {number} in the trace of {(trace ^ _MARK) - 1}")
        return query["id"].encode()


class Load:
    """Asks a front for requests of several shapes, mixed, as fast as it answers them, on many connections.

    `disconnect`: one request in ten is given up before its answer has come, by closing its connection.
    """

    def __init__(
        self, port: int, shapes: Sequence[str], count: int, seed: int, connections: int, disconnect: bool = False
    ) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._work = [(number, shapes[number % len(shapes)]) for number in range(count)]
        self._random.shuffle(self._work)
        self._connections = connections
        self._disconnect = disconnect
        self.failed = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self._connections)))

    async def _connection(self) -> None:
        writer = None
        while self._work:
            number, shape = self._work.pop()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                if self._disconnect and gives_up(number):
                    await self._leave(writer, number, shape)
                    keep = False
                else:
                    keep = await asyncio.wait_for(self._ask(reader, writer, number, shape), PATIENCE)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                self.failed += 1
                keep = False
            if not keep and writer is not None:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    async def _leave(self, writer: asyncio.StreamWriter, number: int, shape: str) -> None:
        """Ask, and be gone; an answer that has come by then isn't read."""
        writer.write(self._head(number, shape))
        await asyncio.sleep(self._random.random() * LATE)
        writer.transport.abort()

    def _head(self, number: int, shape: str) -> bytes:
        head = f"GET /work?id={number}&shape={shape} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
        head += f"traceparent: 00-{trace_of(number)}-{number + 1:016x}-01\r\n\r\n"
        return head.encode()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, shape: str) -> bool:
        """Whether the connection can be kept."""
        writer.write(self._head(number, shape))
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer.split(b" ", 2)[1] != b"200":
            self.failed += 1
        length = _LENGTH.search(answer)
        if length:
            await reader.readexactly(int(length[1]))
        elif b"chunked" in answer.lower():
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.read()
            return False
        return b"connection: close" not in answer.lower()
