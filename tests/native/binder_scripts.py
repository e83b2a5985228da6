"""Makes scripts of events for the binder: HTTP traffic in both roles, on several connections, threads and processes.

The kernel takes what it likes of each call.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from native.binder_twin import Twin
from rbinder.binder.edits import Edit
from rbinder.binder.rules import TASK_NONE, TASK_UNKNOWN
from rbinder.records import Side

EAGAIN = 11
_KEYS = (
    *("a", "rojo", "t61rcwkgmze", "fw529a3039@dt", "0@v", "A", "@v", "a@0", "a@-", "a@b@c", "", "k_-*/"),
    *("k" * 241 + "@v", "k" * 242 + "@v", "a@" + "v" * 14, "a@" + "v" * 15, "x" * 256, "x" * 257),
)
_METHODS = ("GET", "GET", "GET", "POST", "HEAD", "A", "CONNECT")
_NEWLINES = ("\r\n", "\r\n", "\r\n", "\n")


# -- heads


def hexadecimal(rng: random.Random, size: int) -> str:
    text = "".join(rng.choice("0123456789abcdef") for _ in range(size))
    return rng.choice((text, text, text, text.upper(), "0" * size, text[:-1], text + "0", text[:-1] + "g"))


def traceparent(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-0{rng.randrange(4)}"
    version = rng.choice(("00", "00", "01", "ff", "cc", "0"))
    more = rng.choice(("", "", "-", "-more", "x", "-" + "y" * 60))
    flags = rng.choice(("00", "01", "02", "03", "ff", "0A", "1"))
    return f"{version}-{hexadecimal(rng, 32)}-{hexadecimal(rng, 16)}-{flags}{more}"


def member(rng: random.Random) -> str:
    key = rng.choice(_KEYS)
    value = rng.choice(("1", "00f067aa0ba902b7", "v" * 256, "v" * 257, "a b", " x", "x ", "", "a=b", "\x7f", "!~", "é"))
    return rng.choice((f"{key}={value}", f"{key}={value}", f"{rng.randrange(50)}={value}", "", "noequals"))


def tracestate(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ",".join(f"k{index}=v{index}" for index in range(rng.choice((1, 2, 3, 31, 32, 33))))
    if rng.random() < 0.2:
        return ",".join(f"k{index}={'v' * rng.choice((10, 120, 130, 250))}" for index in range(rng.randrange(33)))
    return rng.choice((",", ", ", " , ")).join(member(rng) for _ in range(rng.randrange(1, 6)))


def b3_single(rng: random.Random) -> str:
    parts = [hexadecimal(rng, rng.choice((16, 32))), hexadecimal(rng, 16)]
    parts += rng.choice(((), (), ("1",), ("0",), ("d",), ("x",), ("1", hexadecimal(rng, 16)), ("d", "ab")))
    return rng.choice(("-".join(parts), "-".join(parts), "0", "1", "d", "x", "", " "))


def b3_lines(rng: random.Random) -> list[tuple[str, str]]:
    if rng.random() < 0.4:
        return [("b3", b3_single(rng))]
    lines = [
        ("X-B3-TraceId", hexadecimal(rng, rng.choice((16, 32)))),
        ("X-B3-SpanId", hexadecimal(rng, 16)),
        ("X-B3-Sampled", rng.choice(("1", "0", "true", "TRUE", "False", "d", "D", "x", ""))),
        ("X-B3-Flags", rng.choice(("1", "0", "", "11"))),
        ("x-b3-parentspanid", hexadecimal(rng, 16)),
        ("x-b3-", "odd"),
        ("b3", b3_single(rng)),
    ]
    return rng.sample(lines, rng.randrange(1, len(lines) + 1))


def carried(rng: random.Random) -> list[tuple[str, str]]:
    entries = range(rng.choice((1, 1, 2, 4)))
    lines = [("baggage", f"key{index}={'v' * rng.choice((3, 40, 900, 5000))}") for index in entries]
    lines += [("X-Request-Id", f"{rng.getrandbits(32):x}"), ("x-ot-span-context", "q" * rng.choice((5, 5, 3000, 8300)))]
    if rng.random() < 0.1:
        lines += [("X-Request-ID", "r" * rng.choice((10, 11, 700))) for _ in range(30)]
    return rng.sample(lines, rng.randrange(1, len(lines) + 1))


def context_lines(rng: random.Random) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    if rng.random() < 0.5:
        lines += [("traceparent", traceparent(rng)) for _ in range(rng.choice((1, 1, 1, 1, 1, 2)))]
    if rng.random() < 0.4:
        lines += [("tracestate", tracestate(rng)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if rng.random() < 0.25:
        lines += b3_lines(rng)
    if rng.random() < 0.25:
        lines += carried(rng)
    rng.shuffle(lines)
    return [(rng.choice((name, name, name.upper(), name.title())), value) for name, value in lines]


def written(rng: random.Random, lines: Sequence[tuple[str, str]], newline: str) -> str:
    """Header lines, with the blanks and the folds that are allowed."""
    text = ""
    for name, value in lines:
        if len(value) > 60000:  # what becomes of folds in a line that long depends on how it comes
            text += f"{name}: {value}{newline}"
            continue
        if value and rng.random() < 0.06:
            at = rng.randrange(len(value))
            value = value[:at] + newline + rng.choice((" ", "\t", "   ")) + value[at:]
        blank, after = rng.choice((" ", " ", " ", "", "\t ", newline + " ")), rng.choice(("", "", "", " ", "\t"))
        if rng.random() > 0.05:
            blank, after = " ", ""
        text += f"{name}:{blank}{value}{after}{newline}"
    return text


def request(rng: random.Random, extra: Sequence[tuple[str, str]], body: bytes | None = None) -> bytes:
    newline = rng.choice(_NEWLINES)
    method, path = rng.choice(_METHODS), rng.choice(("/", "/a?b=c", "/stock"))
    lines = [("Host", "shop"), *extra]
    if rng.random() < 0.01:
        lines += [("X-Long", "l" * 66000)]
    if body is None:
        body = rng.choice((b"", b"", b"", b"xyz", b"GET / HTTP/1.1\r\n\r\n", b"z" * rng.choice((100, 20000))))
    if body and rng.random() < 0.3:
        lines.append(("Transfer-Encoding", "chunked"))
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif body:
        lines.append(("Content-Length", str(len(body))))
    head = f"{method} {path} HTTP/1.{rng.choice('1110')}{newline}{written(rng, lines, newline)}{newline}"
    return head.encode("utf-8") + body


def response(rng: random.Random) -> bytes:
    status = rng.choice((200, 200, 200, 200, 404, 204, 304, 100, 103, 500, 101))
    body = rng.choice((b"", b"ok", b"HTTP/1.1 200 OK\r\n\r\n", b"b" * rng.choice((10, 3000, 17000))))
    framing = f"Content-Length: {len(body)}\r\n"
    if status in (204, 304, 100, 103, 101):
        framing, body = "", b""
    elif rng.random() < 0.2:
        framing, body = "Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) or 1, body or b"-")
    elif rng.random() < 0.03:
        framing = ""
    return f"HTTP/1.1 {status} Fine\r\n{framing}\r\n".encode() + body


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Now and then, bytes that are no HTTP, or not quite."""
    if rng.random() > 0.02 or not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(3)) + data[at + rng.randrange(3) :]


def cuts(rng: random.Random, size: int) -> str:
    if size < 2 or rng.random() < 0.6:
        return "-"
    return ",".join(str(at) for at in sorted(rng.randrange(1, size) for _ in range(rng.randrange(1, 5))))


def context_head(rng: random.Random) -> bytes:
    """A head about which most is trace context."""
    lines = [line for _ in range(rng.choice((1, 1, 2))) for line in context_lines(rng)]
    return request(rng, lines, b"")


def call_head(rng: random.Random) -> bytes:
    """A head that a call may send, some of whose lines are in the way of ours."""
    names = ("traceparent", "tracestate", "baggage", "b3", "x-b3-flags", "x-request-id", "x-ot-span-context", "accept")
    return request(rng, [(name, "x") for name in rng.sample(names, rng.choice((0, 0, 0, 1, 2)))], b"")


def cut_edits(rng: random.Random) -> tuple[list[Edit], bytes, str]:
    """Edits of a call, its bytes, and how they are cut."""
    size = rng.randrange(1, 50)
    data = rng.randbytes(size)
    edits, at = [], 0
    for _ in range(rng.randrange(5)):
        at += rng.randrange(8)
        drop = rng.choice((0, 0, rng.randrange(1, 9)))
        if at + drop > size:
            break
        edits.append(Edit(at, rng.randbytes(drop or rng.randrange(1, 12)), drop))
        at += drop
    return edits, data, cuts(rng, size)


# -- traffic


@dataclass
class Connection:
    """A dialogue, and the bytes that are still to go either way."""

    number: int
    process: int
    client: bool
    thread: int
    coming: bytes = b""
    going: bytes = b""


@dataclass
class Traffic:
    """Makes one script."""

    rng: random.Random
    twin: Twin = field(default_factory=Twin)
    connections: list[Connection] = field(default_factory=list)
    processes: dict[int, list[int]] = field(default_factory=dict)  # group: its threads
    now: int = 0
    most: int = 60
    named: list[int] = field(default_factory=list)  # tasks that there are, or were
    adapted: bool = False  # a runtime says something now and then
    smooth: bool = False  # messages go whole: most are answered, and threads come to serve many requests

    def run(self, events: int) -> Twin:
        rng = self.rng
        self.smooth = rng.random() < 0.4
        self.adapted = rng.random() < 0.4
        everything, bound = rng.random() < 0.6, rng.choice((0, 1 << 62, 1 << 63, (1 << 64) - 1))
        self.twin.configure(rng.choice((1, 1, 3, 3, 5, 15, 4, 8, 12, 2, 0)), everything, rng.random() < 0.7, bound)
        self._process(rng.random() < 0.15)
        for _ in range(events):
            self.now += rng.randrange(3) * rng.choice((1, 1, 1, 1, 1, 6_000_000, 25_000_000_000))
            self._event()
        self.twin.end()
        return self.twin

    def _process(self, migrates: bool) -> int:
        number = len(self.processes)
        self.twin.group(number, migrates)
        self.processes[number] = []
        self._thread(number)
        return number

    def _thread(self, process: int) -> int:
        number = len(self.twin.threads)
        self.twin.thread(number, process)
        self.processes[process].append(number)
        return number

    def _event(self) -> None:
        kinds = {self._open: 6, self._read: 24, self._write: 30, self._grow: 3, self._misfortune: 3, self._aside: 2}
        kinds |= {self._say: 8 if self.adapted else 0}
        if self.smooth:
            kinds |= {self._open: 10, self._grow: 1, self._misfortune: 1, self._aside: 0}
        self.rng.choices(list(kinds), list(kinds.values()))[0]()

    def _task(self, process: int) -> int:
        """An open request's name, one of another process's, one that is over, none, or nothing known."""
        requests = [request for group in self.twin.groups.values() for request in group.requests]
        mine = self.twin.groups[process].requests
        self.named += [request.task for request in requests if request.task not in self.named[-20:]]
        kind = self.rng.randrange(8)
        if kind < 4 and mine:
            return self.rng.choice(mine).task
        return self.rng.choice((TASK_NONE, TASK_UNKNOWN, *self.named[-20:]))

    def _say(self) -> None:
        """A runtime says for whom something is done."""
        rng = self.rng
        process = rng.choice(list(self.processes))
        connections = [connection for connection in self.connections if connection.process == process]
        if connections and rng.random() < 0.5:
            self.twin.bound(rng.choice(connections).number, self._task(process))
            return
        task, asked = (self._task(process) if rng.random() < 0.4 else TASK_UNKNOWN for _ in range(2))
        self.twin.says(rng.choice(self.processes[process]), task, asked, rng.random() < 0.2)

    def _grow(self) -> None:
        """A new thread, or a forked process; a thread that ends."""
        rng = self.rng
        process = rng.choice(list(self.processes))
        parent = rng.choice(self.processes[process])
        if len(self.twin.threads) >= self.most:
            return
        if rng.random() < 0.2:
            if not self.twin.plans:  # one that is in a call doesn't end
                self.twin.ended(parent)
                self.processes[process].remove(parent)
                self._replace(parent, self._thread(process))
        elif rng.random() < 0.7:
            self.twin.inherit(self._thread(process), parent, False)
        elif len(self.processes) < 8:
            self.twin.inherit(self.processes[self._process(rng.random() < 0.1)][0], parent, True)

    def _replace(self, ended: int, thread: int) -> None:
        for connection in self.connections:
            if connection.thread == ended:
                connection.thread = thread

    def _open(self) -> None:
        rng = self.rng
        if len(self.twin.dialogues) >= self.most:
            return
        process = rng.choice(list(self.processes))
        thread = rng.choice(self.processes[process])
        connection = Connection(len(self.twin.dialogues), process, rng.random() < 0.6, thread)
        connects = connection.client and rng.random() < 0.9
        self.twin.dialogue(connection.number, process, rng.random() < 0.95 and not connects, rng.choice((0, 2, 3)))
        if connects:
            self.twin.connecting(connection.number, thread)
            self.twin.starts(connection.number, self.now)
        self.connections.append(connection)

    def _pick(self, answering: bool) -> Connection | None:
        """A connection to use; its thread is usually the one that did so last."""
        if not self.connections:
            return None
        connection = self.rng.choice(self.connections)
        dialogue = self.twin.dialogues[connection.number]
        if dialogue.settled and self.rng.random() < 0.9:
            self.connections.remove(connection)
            return None
        if self.rng.random() < (0.02 if self.smooth else 0.1):
            connection.thread = self.rng.choice(self.processes[connection.process])
        if answering and not dialogue.unanswered and self.rng.random() < 0.95:
            return None
        return connection

    def _extra(self, process: int) -> list[tuple[str, str]]:
        """What a program adds: perhaps the traceparent of a request it serves, as it stands."""
        lines = context_lines(self.rng) if self.rng.random() < 0.2 else []
        for request in self.twin.groups[process].requests:
            brought = request.inbound.traceparent
            if brought and len(brought) <= 128 and self.rng.random() < 0.3:
                lines.append(("TraceParent", brought.decode("latin-1")))
        return lines

    def _read(self) -> None:
        rng = self.rng
        connection = self._pick(answering=False)
        if connection is None:
            return
        if not connection.coming and connection.client:
            if self.twin.dialogues[connection.number].unanswered or rng.random() < 0.05:
                connection.coming = response(rng)
        elif not connection.coming:
            calls = rng.choice((1, 1, 1, 1, 2, 3))
            connection.coming = b"".join(request(rng, context_lines(rng)) for _ in range(calls))
        self._receive(connection, connection.thread)

    def _receive(self, connection: Connection, thread: int) -> None:
        rng = self.rng
        data = connection.coming if self.smooth else damaged(rng, connection.coming)
        size = rng.choice((len(data), len(data), len(data) if self.smooth else rng.randrange(len(data) + 1)))
        room = data[:size] + bytes(rng.choice((0, 0, 5)))
        connection.coming = data[size:]
        self.twin.received(connection.number, thread, self.now, size, room, cuts(rng, len(room)))

    def _write(self) -> None:
        rng = self.rng
        connection = self._pick(answering=False)
        if connection is None:
            return
        if not connection.going and not connection.client:
            if not self.twin.dialogues[connection.number].unanswered and rng.random() < 0.95:
                return
            connection.going = response(rng)
        elif not connection.going:
            calls = rng.choice((1, 1, 1, 1, 1, 2, 3))
            connection.going = b"".join(request(rng, self._extra(connection.process)) for _ in range(calls))
        data = connection.going if self.smooth else damaged(rng, connection.going)
        part = rng.choice((rng.randrange(len(data) + 1), min(len(data), rng.randrange(1, 40))))
        size = rng.choice((len(data), len(data), len(data), len(data) if self.smooth else part))
        if self.twin.dialogues[connection.number]._rest is not None:
            size = rng.choice((size, part))
        connection.going = data
        if size:
            self._send(connection, data[:size])

    def _send(self, connection: Connection, data: bytes) -> None:
        rng, twin = self.rng, self.twin
        number = connection.number
        wire = twin.plan(number, number, connection.thread, self.now, data, cuts(rng, len(data)))
        _, plan = twin.plans[number]
        if plan.settled:
            twin.sent(number, len(data), self.now)
            connection.going = connection.going[len(data) :]
            return
        if rng.random() < 0.01:
            twin.untouched(number)
            connection.going = connection.going[len(data) :]
            return
        if rng.random() < 0.06:  # others go on meanwhile
            self.now += 1
            self._receive(connection, rng.choice(self.processes[connection.process]))
            for _ in range(rng.randrange(3)):
                others = [other for other in self.connections if other is not connection]
                mine, self.connections = self.connections, others
                self._event()
                self.connections = mine + [other for other in self.connections if other not in mine]
        told = twin.sent(number, self._result(plan.edits, len(wire)), self.now)
        if told > 0:
            connection.going = connection.going[told:]

    def _result(self, edits: list[Edit], size: int) -> int:
        """What the kernel takes: often all, often an end or a middle of what is inserted."""
        rng = self.rng
        places = [size]
        shift = 0
        for edit in edits:
            at, size_of_it = edit.at + shift, len(edit.insert)
            places += [at, at + 1, at + rng.randrange(size_of_it + 1), at + size_of_it, at + size_of_it + 1]
            shift += size_of_it - edit.drop
        choice = rng.random() * (0.55 if self.smooth else 1)
        if choice < 0.5:
            return size
        if choice < 0.6:
            return -EAGAIN
        if choice < 0.8:
            return min(rng.choice(places), size)
        return rng.randrange(size + 1)

    def _misfortune(self) -> None:
        """The connection itself."""
        rng = self.rng
        connection = self._pick(answering=False)
        if connection is None:
            return
        what = rng.randrange(9)
        number = connection.number
        if what == 0:
            self.twin.fail(number, "connection_closed", self.now)
            if rng.random() < 0.8:
                self.connections.remove(connection)
        elif what == 1:
            self.twin.give_up(number, "_OTHER", self.now)
        elif what == 2:
            self.twin.eof(number, rng.random() < 0.5, self.now)
        elif what == 3:
            self.twin.starts(number, self.now)
        elif what == 4:
            self.twin.connecting(number, connection.thread)
        elif what == 5:
            self.twin.over(number, connection.thread, self.now)
        elif what == 6:
            self.twin.broken(number, connection.thread, "ECONNRESET", rng.random() < 0.7, self.now)
        elif what == 7:
            self.twin.closed(number, self.now)
            self.connections.remove(connection)
        else:
            self.twin.moved(number, rng.randrange(4), rng.random() < 0.5, self.now)

    def _aside(self) -> None:
        """A body without a buffer."""
        connection = self._pick(answering=False)
        if connection is None:
            return
        inbound = self.rng.random() < 0.3
        data = connection.coming if inbound else connection.going
        scanners = self.twin.dialogues[connection.number]
        requests = inbound == (scanners.side is Side.SERVER)
        scanner = scanners._requests if requests else scanners._responses
        count = self.rng.choice((self.rng.randrange(len(data) + 1), min(scanner.skippable, len(data))))
        if scanner.skippable < count and self.rng.random() < 0.9:
            return
        self.twin.moved(connection.number, count, inbound, self.now)
        if inbound:
            connection.coming = data[count:]
        else:
            connection.going = data[count:]
