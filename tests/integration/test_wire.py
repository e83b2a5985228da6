"""Wire cases through a real process: what the peer gets is what the program sent, but for the inserted header lines.

Every scenario is run twice, by itself and under rbinder; tests/targets/replay.c makes the calls, and checks each result
it is told, its registers, its arguments and its memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.wire_cases import CASES, END, PLACE, Case
from replays import Session, Wire, run_both
from wire_checks import OK, check

# how the bytes are cut into calls: (call, size of a piece, how a piece is split among buffers)
WAYS = {
    "whole": ("write", 1 << 30, "-"),
    "byte by byte": ("write", 1, "-"),
    "writev": ("writev", 1 << 30, "1,0,2,3,5,8,13,21,1,1,1,34,55"),
    "writev of odd pieces": ("writev", 37, "5,11,1"),
    "sendto": ("sendto", 29, "-"),
    "sendmsg": ("sendmsg", 1 << 30, "16,1,1,16,1,1,7"),
    "control data": ("control", 61, "13"),
    "sendmmsg": ("sendmmsg", 1 << 30, "9,9,9,1,2,3"),
    "more to come": ("more", 17, "-"),
}
RECEIVES = ("read", "readv", "recv", "recvmsg", "recvmmsg", "peek", "all", "read", "readv")


# -- the table of cases


def send_cut(wire: Wire, marked: bytes, way: str, large: bool) -> None:
    """Send in pieces of the way's size; of a large stream in pieces that don't take forever."""
    call, size, splits = WAYS[way]
    if size >= len(marked):
        wire.send(marked, call, splits)
        return
    size = max(size, 4001 if large else 0)
    plain = marked.replace(END, b"").replace(PLACE, b"")
    places = [len(part.replace(END, b"")) for part in marked.split(PLACE)[:-1]]
    places = [sum(places[: i + 1]) for i in range(len(places))]
    for at in range(0, len(plain), size):
        piece, done = b"", at
        for place in [place for place in places if at <= place < at + size]:
            piece += plain[done:place] + PLACE
            done = place
        wire.send(piece + plain[done : at + size], call, splits)


def program_sends(session: Session, case: Case, way: str) -> Wire:
    """A request case from the program as a client; a response case from the program as a server."""
    if case.direction == "request":
        wire = session.connect("tcp" if len(session.wires) % 2 else "unix")
    else:
        wire = session.accept()
        for method in case.methods:
            wire.receive(method + b" /asked HTTP/1.1\r\nHost: a\r\n\r\n")
    places = case.marked if case.direction == "request" else case.wire
    send_cut(wire, places, way, case.large)
    wire.finish()
    return wire


def program_receives(session: Session, case: Case, how: str) -> Wire:
    """A request case to the program as a server, which answers; a response case to the program as a client."""
    if case.direction == "request":
        wire = session.accept()
        wire.receive(case.wire, how)
        wire.send(OK)
    else:
        wire = session.connect("unix" if len(session.wires) % 2 else "tcp")
        for number, method in enumerate(case.methods):
            place = b"" if b"CONNECT" in case.methods[:number] else PLACE
            wire.send(method + b" /asked HTTP/1.1\r\nHost: a\r\n" + place + b"\r\n")
        wire.receive(case.wire, how)
    wire.finish()
    return wire


Played = dict[tuple[str, str], Wire]


@pytest.fixture(scope="module", params=list(WAYS))
def played(
    request: pytest.FixtureRequest, replay: Path, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Played:
    """All cases on connections of one process, each in both roles, sent in one way."""
    found: Played = {}

    def scenario(session: Session) -> None:
        for case in CASES:
            found[case.name, "sends"] = program_sends(session, case, request.param)
            how = RECEIVES[list(WAYS).index(request.param)]
            found[case.name, "receives"] = program_receives(session, case, how)

    run_both(scenario, replay, engine, tmp_path_factory.mktemp("table"))
    return found


@pytest.mark.parametrize("part", ["sends", "receives"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_arrives_as_it_was_sent(played: Played, case: Case, part: str) -> None:
    check([played[case.name, part]])
