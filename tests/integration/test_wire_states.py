"""What a connection has carried decides what may be changed on it: protocols, directions, and the messages themselves.

Every scenario is run by itself and under rbinder, see replays.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.wire_cases import PLACE
from replays import Play, Session, Wire, run_both
from wire_checks import GET, NEXT, OK, PLAIN, POST, check, without_blocks

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CONNECT = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n<+>\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n<+>\r\n"
ASKING = "asked before it asks"
KINDS = ("unix", "tcp", "nontcp")

# what the program sends (with a place where a block comes) and "<" what it receives, in turn
DIALOGUES: dict[str, list[bytes]] = {
    "keep-alive": [GET, b"<" + OK, NEXT, b"<" + CHUNKED, NEXT, b"<" + OK],
    "pipelined": [GET + NEXT + NEXT, b"<" + OK + CHUNKED + OK, NEXT, b"<" + OK],
    "CONNECT accepted": [CONNECT, b"<HTTP/1.1 200 Established\r\n\r\n", PLAIN, b"<" + OK, PLAIN],
    "CONNECT refused": [CONNECT, b"<HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", NEXT, b"<" + OK, NEXT],
    "CONNECT, tunnel used too early": [CONNECT + PLAIN, b"<HTTP/1.1 200 OK\r\n\r\n", PLAIN],
    "CONNECT behind a request that fails": [
        GET + CONNECT,
        b"<HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        PLAIN,
        b"<HTTP/1.1 200 OK\r\n\r\n",
        PLAIN,
    ],
    "upgraded": [UPGRADE, b"<HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", PLAIN, b"<" + OK, PLAIN],
    "upgrade declined": [UPGRADE, b"<" + OK, NEXT, b"<" + OK, NEXT],
    "100 continue": [
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n<+>\r\n" % len(PLAIN),
        b"<HTTP/1.1 100 Continue\r\n\r\n",
        PLAIN,
        b"<" + OK,
        NEXT,
    ],
    "answered before the body ended": [POST % len(PLAIN), b"<" + OK, PLAIN, NEXT, b"<" + OK],
    "HEAD": [GET.replace(b"GET", b"HEAD"), b"<HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", NEXT, b"<" + OK],
    "204 and 304": [
        GET,
        b"<HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
        NEXT,
        b"<HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n",
        NEXT,
        b"<" + OK,
    ],
    "a body that is a request": [POST % len(PLAIN) + PLAIN + NEXT, b"<" + OK + OK],
    "a body in a call of its own": [POST % len(PLAIN), PLAIN, NEXT, b"<" + OK + OK],
    "a chunk that is a request": [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n%x\r\n" % len(PLAIN),
        PLAIN,
        b"\r\n0\r\n\r\n",
        NEXT,
        b"<" + OK + OK,
    ],
    "a response that is a request": [
        GET,
        b"<HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PLAIN) + PLAIN,
        NEXT,
        b"<" + OK,
    ],
    "a response that is no HTTP": [GET, b"<\0\1\2\3", PLAIN],
    "malformed": [GET, b"<" + OK, b"GET nonsense\r\n\r\n", PLAIN],
    "the peer speaks first": [b"<220 mail.example.org ESMTP\r\n", PLAIN],
    "half a head, answered by what would complete it": [
        b"GET / HTTP/1.1\r\nHost: a\r\nX:",
        b"< HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        b" y\r\n<+>\r\n",
        b"<" + OK,
        NEXT,
    ],
    ASKING: [b"<" + PLAIN, PLAIN, b"<" + PLAIN, PLAIN],
    "HTTP/1.0": [b"GET / HTTP/1.0\r\n<+>\r\n", b"<HTTP/1.0 200 OK\r\n\r\nto the end"],
    "a forwarded context of nobody's": [
        b"GET / HTTP/1.1\r\ntraceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\n\r\n",
        b"<" + OK,
        NEXT,
    ],
    "an empty traceparent": [b"GET / HTTP/1.1\r\nTraceparent:\r\n\r\n", b"<" + OK, NEXT],
    "traceparent behind 100 kB": [
        b"GET / HTTP/1.1\r\n" + b"X: %s\r\n" % (b"v" * 90) * 1100 + b"TraceParent: x\r\n\r\n",
        b"<" + OK,
        NEXT,
    ],
}


def converse(wire: Wire, parts: list[bytes], call: str = "write") -> None:
    for part in parts:
        if part[:1] == b"<" and not part.startswith(PLACE):
            wire.receive(part[1:])
        else:
            wire.send(part, call, "7,11,13")
    wire.finish()


@pytest.mark.parametrize("name", DIALOGUES)
def test_client(play: Play, name: str) -> None:
    def scenario(session: Session) -> None:
        for kind in KINDS:
            for call in ("write", "writev", "sendmsg"):
                converse(session.connect(kind), DIALOGUES[name], call)

    check(play(scenario)[1])


def test_server_is_never_changed(play: Play) -> None:
    """The same conversations with the roles exchanged, and a server's own oddities."""
    early = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"

    def scenario(session: Session) -> None:
        for name, parts in DIALOGUES.items():
            if name == ASKING:
                continue
            wire = session.accept()
            for part in (part.replace(PLACE, b"") for part in parts):
                if part[:1] == b"<":
                    wire.send(part[1:], "writev", "9,9")
                else:
                    wire.receive(part)
            wire.finish()
        for half in (b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET", b"GET / HTTP/1.1\r\nHost"):
            wire = session.accept()
            wire.receive(half)
            wire.send(early)
            wire.finish()

    check(play(scenario)[1])


def test_whoever_asks_is_the_client(play: Play) -> None:
    """Also on a connection that it accepted."""

    def scenario(session: Session) -> None:
        converse(session.accept(), [GET, b"<" + OK, NEXT, b"<" + OK])

    check(play(scenario)[1])


def test_a_server_that_calls(play: Play) -> None:
    """The context goes from the request to the calls, and what is to be forwarded with it."""
    trace, baggage = b"0af7651916cd43dd8448eb211c80319c", b"baggage: a=%s\r\n" % (b"b" * 3000)
    head = b"traceparent: 00-" + trace + b"-b7ad6b7169203331-01\r\ntracestate: x=y\r\n" + baggage

    def scenario(session: Session) -> None:
        served = session.accept()
        served.receive(b"GET / HTTP/1.1\r\n" + head + b"\r\n")
        converse(session.connect("tcp"), [GET, b"<" + OK, NEXT, b"<" + OK])
        served.send(OK)
        served.finish()

    _, (served, call) = play(scenario)
    check([served, call])
    assert call.received.count(b"traceparent: 00-" + trace) == 2
    assert call.received.count(b"\r\ntracestate: x=y\r\n" + baggage) == 2


def test_the_forwarded_context_is_replaced_in_place(play: Play) -> None:
    """The span id is another one; not a byte is longer or elsewhere. However the head is cut."""
    line = b"traceparent: 00-" + b"a" * 32 + b"-%s-01\r\n"
    head = b"GET / HTTP/1.1\r\nX: y\r\n" + line % (b"b" * 16) + b"Host: a\r\n\r\n"

    def scenario(session: Session) -> None:
        served = session.accept()
        served.receive(b"GET / HTTP/1.1\r\n" + line % (b"b" * 16) + b"\r\n")
        for splits in ("-", "30", "72,4,4", "1,1,1"):
            converse(session.connect(), [head, b"<" + OK], "writev")
            wire = session.connect()
            wire.send(head, "sendmsg", splits)
            wire.finish()
        wire = session.connect()
        wire.send(head[:50])
        wire.send(head[50:])
        wire.finish()
        served.send(OK)
        served.finish()

    _, (_, *calls, cut) = play(scenario)
    at = head.index(b"b" * 16)
    for call in calls:
        assert bytes(call.received[:at] + b"b" * 16 + call.received[at + 16 :]) == head
        assert call.received[at : at + 16] != b"b" * 16
    assert cut.received == head  # what is sent already can't be replaced: it stands as it is


def test_the_program_stops_sending_first(play: Play) -> None:
    """Half-close, then a response that ends with the connection."""

    def scenario(session: Session) -> None:
        wire = session.connect("tcp")
        wire.send(GET)
        wire.do("shut")
        wire.receive(b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        wire.finish()

    check(play(scenario)[1])


def test_many_requests_in_one_call(play: Play) -> None:
    """Nothing but whole blocks in their places is inserted, though not all of them have room."""
    requests = GET * 2_000

    def scenario(session: Session) -> None:
        for kind in ("unix", "tcp"):
            wire = session.connect(kind)
            wire.send(requests)
            wire.send(NEXT)
            wire.finish()

    for wire in play(scenario)[1]:
        assert wire.received.count(b"\r\ntraceparent: ") > 100
        assert without_blocks(bytes(wire.received)) == bytes(wire.expected).replace(PLACE, b"")


def test_without_a_filter(replay: Path, engine: str, tmp_path: Path) -> None:
    """--no-seccomp sees every call twice: all conversations, as client and as server."""

    def scenario(session: Session) -> None:
        for name, parts in DIALOGUES.items():
            converse(session.connect("tcp"), parts, "sendmsg")
            if name != ASKING:
                wire = session.accept()
                for part in (part.replace(PLACE, b"") for part in parts):
                    wire.send(part[1:]) if part[:1] == b"<" else wire.receive(part)
                wire.finish()

    check(run_both(scenario, replay, engine, tmp_path, ("-x", "none", "--no-seccomp"))[1])
