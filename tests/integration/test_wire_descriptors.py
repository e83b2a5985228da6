"""A connection is the same by whatever descriptor and in whatever process; and bytes that are in no buffer.

Every scenario is run by itself and under rbinder, see replays.py.
"""

from __future__ import annotations

import os

import pytest
from conformance.wire_cases import PLACE
from replays import Play, Session, Wire
from wire_checks import GET, NEXT, OK, PLAIN, POST, check


def test_descriptors(play: Play) -> None:
    """A connection is the same by whatever descriptor, in whatever process it is used."""

    def scenario(session: Session) -> None:
        first = session.connect("tcp")
        first.send(GET)
        for word, slot in (("dup", 5), ("dup2", 6)):
            if word == "dup2":
                session.line("pair 6 7")
            first.do(word, slot)
            first.do("close")
            first.slot = slot
            first.send(NEXT[:20])
            first.send(NEXT[20:])
        session.line("fork")
        first.send(NEXT, "sendmsg")
        first.receive(OK)
        session.line("done")
        first.send(NEXT)
        session.line("thread")
        first.send(NEXT[:9])
        session.line("done")
        first.send(NEXT[9:])
        session.line("thread")
        first.finish()
        session.line("done")
        again = session.connect("tcp", slot=6)
        again.send(GET)
        again.finish()

    check(play(scenario)[1])


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("used", [False, True])
def test_a_descriptor_passed_to_another_process(play: Play, engine: str, before: bool, used: bool) -> None:
    """By SCM_RIGHTS, to a child that was started before or after the program's first connect; used before or not.

    An engine inside the other process doesn't know what went over it before, and inserts nothing then.
    """
    request = NEXT.replace(PLACE, b"") if used and engine == "agent" else NEXT

    def scenario(session: Session) -> None:
        wire = Wire(session, 1)
        if not before:
            wire = session.connect("tcp")
        session.line("helper 9")
        helped = Wire(session, 9)
        helped.send(request[:25], "writev", "5")
        helped.send(request[25:])
        helped.receive(OK)
        helped.send(request)
        session.line("done")
        if before:
            wire = session.connect("tcp")
        helped.peer = wire.peer
        if used:
            wire.send(GET)
        wire.do("give")
        session.steps[-1 if not before else -2] = lambda: lambda: wire.feed(OK)
        wire.expected += helped.expected

    check(play(scenario)[1])


def test_a_connection_that_was_there_before(play: Play, engine: str) -> None:
    """What went over it before is unknown, and nothing is inserted; from inside, the socket itself can be asked."""
    request = GET if engine == "agent" else PLAIN

    def scenario(session: Session) -> None:
        wire = session.inherit()
        for _ in range(2):
            wire.send(request)
            wire.receive(OK)
        wire.finish()

    check(play(scenario)[1])


def test_an_unnamed_pair_is_left_alone(play: Play) -> None:
    def scenario(session: Session) -> None:
        session.line("pair 1 2")
        ours = Wire(session, 1)
        ours.send(PLAIN)
        Wire(session, 2).take(PLAIN)
        ours.do("close")

    play(scenario)


def test_a_connection_inherited_over_exec(play: Play, engine: str) -> None:
    """The new program goes on where the old one was, in the middle of a head. An engine inside it can't know that."""
    first, following = (part.replace(PLACE, b"") if engine == "agent" else part for part in (GET, NEXT))

    def scenario(session: Session) -> None:
        wire = session.connect("tcp")
        wire.send(first[:30])
        session.line("fork")
        script = session.directory / "second"
        session.line(f"exec {script} 1")
        session.line("done")
        kept = session.lines
        session.lines = []
        wire.slot = 0
        wire.send(first[30:])
        wire.receive(OK)
        wire.send(following)
        script.write_text("\n".join(session.lines) + "\n")
        session.lines = kept
        wire.slot = 1
        wire.send(following)
        wire.finish()

    check(play(scenario)[1])


@pytest.mark.parametrize("first_is", ["parent", "child"])
def test_two_processes_send_one_message(play: Play, first_is: str) -> None:
    """What looks like a request is the body of the other process's. An engine inside each knows its own bytes alone."""

    def scenario(session: Session) -> None:
        wire = session.connect("tcp")
        wire.send(GET)
        wire.receive(OK)
        session.line("fork")
        if first_is == "parent":
            session.line("done")
            wire.send(POST % (2 * len(PLAIN)))
            session.line("fork")
            wire.send(PLAIN)
            session.line("done")
            wire.send(PLAIN)
        else:
            wire.send(POST % (2 * len(PLAIN)))
            session.line("done")
            wire.send(PLAIN)
            wire.send(PLAIN)
        wire.receive(OK)

    check(play(scenario)[1])


# -- bytes that aren't in a buffer


def test_bodies_that_are_moved(play: Play) -> None:
    """By sendfile(2) and splice(2), in counted bodies: requests go on behind them."""
    body = os.urandom(70_000)

    def scenario(session: Session) -> None:
        for call in ("sendfile", "splice"):
            wire = session.connect("tcp")
            wire.send(POST % len(body), "more")
            wire.send(body, call)
            wire.receive(OK)
            wire.send(NEXT)
            wire.finish()
            served = session.accept()
            served.receive(PLAIN)
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            served.send(body, call)
            served.receive(PLAIN)
            served.send(OK)
            served.finish()

    check(play(scenario)[1])


def test_heads_that_are_moved_end_it(play: Play) -> None:
    """A head that nobody saw may have a body of any length."""

    def scenario(session: Session) -> None:
        for call in ("sendfile", "splice"):
            wire = session.connect("tcp")
            wire.send((POST % len(PLAIN)).replace(PLACE, b""), call)
            wire.send(PLAIN)
            wire.send(PLAIN)
            wire.finish()

    check(play(scenario)[1])


def test_urgent_data_ends_it(play: Play) -> None:
    def scenario(session: Session) -> None:
        wire = session.connect("tcp")
        wire.send(GET)
        wire.receive(OK)
        wire.send(b"!", "urgent")
        wire.send(PLAIN)
        wire.finish()
        wire.expected = wire.expected.replace(b"!", b"")  # it travels outside of the stream

    check(play(scenario)[1])


def test_responses_that_are_thrown_away(play: Play) -> None:
    """MSG_TRUNC on TCP: the bytes are gone and the buffer is as it was."""
    body = b"HTTP/1.1 999 x\r\n\r\n" * 300
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    def scenario(session: Session) -> None:
        wire = session.connect("tcp")
        wire.send(GET)
        wire.receive(head)
        wire.receive(body, "drop")
        wire.send(NEXT)
        wire.receive(OK)
        wire.finish()

    check(play(scenario)[1])
