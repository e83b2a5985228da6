"""A connection's conversation, with a kernel that takes as much of each call as the test wants."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterable, Iterator

import pytest
from conformance.wire_cases import CASES, END, PLACE
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinder.binder.binder import Binder
from rbinder.binder.dialogue import Dialogue
from rbinder.binder.edits import pieces
from rbinder.binder.plans import Plan
from rbinder.binder.propagation import Propagation
from rbinder.binder.rules import Group, Thread
from rbinder.binder.sampling import create
from rbinder.records import ExchangeFailed, Kind, MessageEnd, Payload, RequestHead, Side

GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n<+>\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PARENT = b"b" * 16
LINE = b"traceparent: 00-" + b"a" * 32 + b"-" + PARENT + b"-01\r\n"
PLAIN = GET.replace(PLACE, b"")


class Bytes:
    """A call's buffer."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.total = len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


class Talk:
    """A dialogue, what was recorded of it, and both streams of bytes."""

    def __init__(self, known_start: bool = True, group: Group | None = None) -> None:
        random_bits = random.Random(7).getrandbits
        self.group = group or Group()
        self.thread = Thread(self.group)
        self.records: list[tuple[Kind, bytes, Payload]] = []
        binder = Binder(Propagation(("tracecontext", "baggage")), create("parentbased_always_on", None), random_bits)
        self.dialogue = Dialogue(binder, self._emit, next(IDENTITIES), known_start)
        self.sent = b""

    def _emit(self, dialogue: Dialogue, kind: Kind, now: int, exchange: bytes, payload: Payload) -> None:
        self.records.append((kind, exchange, payload))

    @property
    def kinds(self) -> list[str]:
        return [kind.name for kind, _, _ in self.records]

    def receive(self, data: bytes, piece: int = 1 << 20) -> None:
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            self.dialogue.received(self.thread, Bytes(part), len(part), 1)

    def close(self) -> None:
        """The program closes the connection."""
        self.dialogue.closing(3)
        self.dialogue.closed(3)

    def plan(self, data: bytes) -> Plan:
        return self.dialogue.plan(self.thread, Bytes(data), 1)

    def take(self, plan: Plan, data: bytes, result: int) -> int:
        """The kernel takes `result` bytes of what the plan sends (or all there are); what the program is told."""
        found = pieces(plan.edits, len(data))
        whole = b"".join(piece if isinstance(piece, bytes) else data[piece[0] : sum(piece)] for piece in found)
        result = min(result, len(whole))
        self.sent += whole[: max(result, 0)]
        return self.dialogue.sent(plan, result, 1)

    def call(self, data: bytes, result: int = 1 << 30) -> int:
        plan = self.plan(data)
        if plan.settled:
            self.sent += data
            return self.dialogue.sent(plan, len(data), 1) if not self.dialogue.opaque else len(data)
        return self.take(plan, data, result)

    def send(self, data: bytes, results: Iterable[int] = (), piece: int = 1 << 30) -> None:
        """Send as a program that doesn't wait does, its calls taking `results`, then everything."""
        taken: Iterator[int] = itertools.chain(results, itertools.repeat(1 << 30))
        at = 0
        while at < len(data):
            part = data[at : at + piece]
            told = self.call(part, next(taken))
            assert told in (-errno.EAGAIN, -errno.EINTR) or 0 < told <= len(part)
            at += max(told, 0)


IDENTITIES = itertools.count(1)


def expected(talk: Talk, marked: bytes) -> bytes:
    """`marked` with the line of each request that was recorded, in their order."""
    heads = [payload for kind, _, payload in talk.records if kind is Kind.REQUEST_HEAD]
    first, *others = marked.split(PLACE)
    spans = [exchange for kind, exchange, _ in talk.records if kind is Kind.REQUEST_HEAD]
    assert len(heads) == len(others)
    text = first
    for head, span, part in zip(heads, spans, others, strict=True):
        assert isinstance(head, RequestHead)
        newline = b"\r\n" if text.endswith(b"\r\n") else b"\n"
        text += b"traceparent: 00-%s-%s-%02x" % (head.trace_id.hex().encode(), span.hex().encode(), head.trace_flags)
        text += newline + part
    return text


# -- inserting


@pytest.mark.parametrize("case", [case for case in CASES if case.direction == "request"], ids=lambda case: case.name)
@pytest.mark.parametrize("size", [1 << 30, 4001, 1])
def test_each_head_gets_one_line(case: object, size: int) -> None:
    marked, large = case.marked.replace(END, b""), case.large  # type: ignore[attr-defined]
    if large and size == 1:
        return
    talk = Talk()
    talk.send(marked.replace(PLACE, b""), piece=size)
    assert talk.sent == expected(talk, marked)


STREAMS = [
    GET,
    GET.replace(b"\r", b""),
    GET + GET,
    b"POST / HTTP/1.1\r\nContent-Length: 37\r\n<+>\r\n" + PLAIN + b"!!!!!!!"[: 37 - len(PLAIN)] + GET,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n<+>\r\n3\r\nabc\r\n0\r\n\r\n" + GET,
]


@pytest.mark.parametrize("marked", STREAMS)
def test_every_cut(marked: bytes) -> None:
    plain = marked.replace(PLACE, b"")
    whole = len(plain) + 70 * marked.count(PLACE)
    for result in range(1, whole + 1):
        talk = Talk()
        talk.send(plain, [result])
        assert talk.sent == expected(talk, marked), result


def test_every_two_cuts_with_refusals_between() -> None:
    whole = len(PLAIN) + 70
    for first in range(len(PLAIN) - 4, whole):
        for second in range(1, whole - first):
            talk = Talk()
            talk.send(PLAIN, [first, -errno.EAGAIN, second, -errno.EINTR, 1, 1])
            assert talk.sent == expected(talk, GET), (first, second)


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 30])
def test_every_cut_of_small_calls(piece: int) -> None:
    for taken in range(1, 80):
        talk = Talk()
        talk.send((GET + GET).replace(PLACE, b""), itertools.repeat(taken), piece)
        assert talk.sent == expected(talk, GET + GET), taken


@given(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3), st.lists(st.integers(-1, 90)), st.integers(1, 60))
@settings(deadline=None)
def test_any_cuts(streams: list[bytes], results: list[int], piece: int) -> None:
    marked = b"".join(streams)
    talk = Talk()
    talk.send(marked.replace(PLACE, b""), [result if result > 0 else -errno.EAGAIN for result in results], piece)
    assert talk.sent == expected(talk, marked)


def test_none_of_the_program_s_is_told_as_not_yet() -> None:
    """The blank line in a call of its own: 0 would say that the connection is closed."""
    talk = Talk()
    talk.send(PLAIN[:-2])
    assert talk.call(b"\r\n", 70) == -errno.EAGAIN
    assert talk.call(b"\r\n", 1) == 1
    talk.send(b"\n")
    assert talk.sent == expected(talk, GET)


def test_nothing_is_decided_before_it_is_sent() -> None:
    """A call that fails leaves no trace, and the next may send something else."""
    talk = Talk()
    for _ in range(3):
        assert talk.call(PLAIN, -errno.EAGAIN) == -errno.EAGAIN
    assert talk.call(PLAIN, -512) == -512  # ERESTARTSYS
    assert not talk.records
    other = GET.replace(b"/a", b"/other")
    talk.send(other.replace(PLACE, b""))
    assert talk.sent == expected(talk, other)


def test_room_for_so_many_and_no_more() -> None:
    talk = Talk()
    talk.send(PLAIN * 2000)
    count = talk.sent.count(b"traceparent")
    assert 100 < count < 2000
    assert talk.sent == expected_of(talk, count) + PLAIN * (2000 - count)
    assert talk.kinds.count("REQUEST_HEAD") == 2000


def expected_of(talk: Talk, count: int) -> bytes:
    heads = [record for record in talk.records if record[0] is Kind.REQUEST_HEAD][:count]
    some = Talk()
    some.records = heads
    return expected(some, GET * count)


@pytest.mark.parametrize("cut", range(-6, 3))
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_line_of_70_kb_cut_at_its_end(cut: int, newline: bytes) -> None:
    """The inserted line ends as that line does, wherever calls begin."""
    marked = newline.join((b"GET / HTTP/1.1", b"X: " + b"x" * 70_000, PLACE, b""))
    plain = marked.replace(PLACE, b"")
    talk = Talk()
    for part in (plain[: len(plain) - 4 + cut], plain[len(plain) - 4 + cut :]):
        talk.send(part)
    assert talk.sent == expected(talk, marked)


def test_a_context_of_70_kb_is_the_program_s_own() -> None:
    group = Group()
    Talk(group=group).receive(b"GET / HTTP/1.1\r\nbaggage: a=b\r\n\r\n")
    for name, count in ((b"Baggage", 0), (b"Other", 1)):
        talk = Talk(group=group)
        talk.thread = group.requests[0].home or talk.thread
        talk.send(b"GET / HTTP/1.1\r\n%s: %s\r\n" % (name, b"c" * 70_000), piece=30_000)
        talk.send(b"\r\n")
        assert talk.sent.count(b"traceparent") == 1
        assert talk.sent.count(b"baggage: a=b") == count


# -- replacing


def forwarding() -> Talk:
    """A process that serves a request and is about to forward its context."""
    group = Group()
    server = Talk(group=group)
    server.receive(b"GET / HTTP/1.1\r\n" + LINE + b"\r\n")
    return Talk(group=group)


FORWARDED = b"GET / HTTP/1.1\r\nX: y\r\n" + LINE + b"Host: a\r\n\r\n"


@pytest.mark.parametrize("piece", [1 << 30, 1, 3, 8, 17])
def test_every_cut_of_a_replacement(piece: int) -> None:
    at = FORWARDED.index(PARENT)
    for result in range(1, len(FORWARDED) + 1):
        talk = forwarding()
        told = talk.call(FORWARDED, result)
        assert told == result
        talk.send(FORWARDED[told:], piece=piece)
        assert talk.sent[:at] + talk.sent[at + 16 :] == FORWARDED[:at] + FORWARDED[at + 16 :]
        spans = [exchange for kind, exchange, _ in talk.records if kind is Kind.REQUEST_HEAD]
        identifier = talk.sent[at : at + 16]
        # where none of it was replaced before the cut, what was sent can't be taken back: the program's stands
        assert [span.hex().encode() for span in spans] == ([] if identifier == PARENT else [identifier]), result
        assert identifier != PARENT or result <= at


# -- hands off


def test_a_late_start_is_only_followed() -> None:
    talk = Talk(known_start=False)
    talk.send(PLAIN)
    talk.receive(OK)
    assert talk.sent == PLAIN
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n"])
@pytest.mark.parametrize("inbound", [False, True])
def test_other_protocols(first: bytes, inbound: bool) -> None:
    talk = Talk()
    talk.receive(first) if inbound else talk.send(first)
    assert talk.dialogue.settled


@pytest.mark.parametrize("answer", [b"\0nonsense", b"HTTP/1.1 101 Go\r\n\r\n"])
@pytest.mark.parametrize("result", [len(PLAIN) - 2, len(PLAIN), len(PLAIN) + 60, len(PLAIN) + 75])
def test_hands_off_while_a_call_is_under_way(answer: bytes, result: int) -> None:
    """What the call has begun to insert is finished, and its result told in the program's terms."""
    message = PLAIN + b"more"
    talk = Talk()
    plan = talk.plan(message)
    talk.receive(answer)
    assert not talk.dialogue.settled
    told = talk.take(plan, message, result)
    assert told <= len(message)
    talk.send(message[told:])
    assert talk.sent in (expected(talk, GET + b"more"), message)
    assert (talk.sent == message) == (result <= len(PLAIN) - 2)
    assert talk.dialogue.settled


@pytest.mark.parametrize("result", range(len(PLAIN) - 3, len(PLAIN) + 72))
def test_an_answer_before_all_was_sent(result: int) -> None:
    """The request is recorded once, its line inserted once, wherever the call was cut."""
    talk = Talk()
    plan = talk.plan(PLAIN)
    talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    told = talk.take(plan, PLAIN, result)
    talk.send(PLAIN[told:])
    assert talk.sent.count(b"traceparent") == 1
    assert talk.sent == PLAIN[:-2] + talk.sent[len(PLAIN) - 2 : -2] + b"\r\n"
    if result > len(PLAIN) - 2:
        assert talk.sent == expected(talk, GET)


def test_two_threads_send_at_once() -> None:
    talk = Talk()
    plan = talk.plan(PLAIN)
    talk.dialogue.give_up()
    assert talk.take(plan, PLAIN, 1 << 30) == len(PLAIN)
    assert talk.dialogue.settled


def test_it_cannot_be_edited() -> None:
    talk = Talk()
    talk.dialogue.untouched(talk.plan(PLAIN))
    assert talk.dialogue.settled


@pytest.mark.parametrize("half", [PLAIN[:-2], b"GET / HTTP/1.1\r\nHost:", b"\r\n"])
def test_directions_are_not_mixed(half: bytes) -> None:
    """What completes a half head in the other direction is no head."""
    server = Talk()
    server.receive(half)
    server.send(b" x\r\n\r\n" + PLAIN)
    assert (server.sent, server.kinds) == (b" x\r\n\r\n" + PLAIN, [])
    client = Talk()
    client.send(half)
    client.receive(b" x\r\n\r\n" + PLAIN)
    assert (client.sent, client.kinds, client.dialogue.side) == (half, [], Side.CLIENT)


def test_the_runtimes_word_is_kept_until_the_head_is_on_its_way() -> None:
    """And holds for that one alone: refused, cut, and then the next request, of which nothing is said."""
    front = Talk()
    front.receive(PLAIN)
    request = front.group.requests[0]
    call = Talk(group=front.group)
    call.dialogue.task = request.task
    assert call.call(PLAIN, -errno.EAGAIN) == -errno.EAGAIN
    call.send(PLAIN, (10, -errno.EAGAIN))
    assert call.dialogue._turns[0].request is request
    call.receive(OK)
    call.send(PLAIN)
    assert call.dialogue._turns[0].request is None


def test_connected_again() -> None:
    talk = Talk(known_start=False)
    talk.dialogue.starts(1)
    talk.send(PLAIN)
    assert talk.sent == expected(talk, GET)
    talk.dialogue.starts(1)
    assert talk.dialogue.settled


# -- CONNECT


CONNECT = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"


def test_connect_accepted() -> None:
    talk = Talk()
    talk.send(CONNECT)
    talk.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    assert talk.dialogue.settled
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]


def test_connect_refused() -> None:
    talk = Talk()
    talk.send(CONNECT)
    talk.receive(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    talk.send(PLAIN)
    assert talk.sent == expected(talk, CONNECT[:-2] + PLACE + b"\r\n" + GET)


def test_connect_waits_behind_a_refused_request() -> None:
    talk = Talk()
    talk.send(PLAIN + CONNECT)
    talk.receive(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    before = talk.sent
    talk.send(PLAIN)
    assert talk.sent == before + PLAIN


# -- what is recorded


def test_a_client_s_exchanges() -> None:
    talk = Talk()
    body = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
    talk.send(body)
    talk.send(b"abc" + PLAIN)
    talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + OK, piece=7)
    assert talk.kinds == ["REQUEST_HEAD", "MESSAGE_END", "REQUEST_HEAD", *["RESPONSE_HEAD", "MESSAGE_END"] * 2]
    exchanges = [exchange for _, exchange, _ in talk.records]
    assert exchanges == [exchanges[0]] * 2 + [exchanges[2]] + [exchanges[0]] * 2 + [exchanges[2]] * 2
    ends = [payload for _, _, payload in talk.records if isinstance(payload, MessageEnd)]
    assert [(end.is_response, end.body_size) for end in ends] == [(False, 3), (True, 2), (True, 2)]
    assert not talk.dialogue.unanswered


def test_a_server_s_exchange() -> None:
    talk = Talk()
    talk.receive(b"GET / HTTP/1.1\r\n" + LINE + b"\r\n", piece=11)
    (request,) = talk.thread.serving
    plan = talk.plan(OK)
    assert plan.settled  # a whole small response: its call needs no exit stop
    talk.call(OK)
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]
    head = talk.records[0][2]
    assert isinstance(head, RequestHead)
    assert (head.side, head.parent_id.hex().encode(), head.remote_parent) == (Side.SERVER, PARENT, True)
    assert not request.open
    assert not talk.thread.serving


@pytest.mark.parametrize("cut", range(1, len(OK)))
def test_a_response_in_two_calls(cut: int) -> None:
    talk = Talk()
    talk.receive(PLAIN)
    talk.send(OK[:cut])
    assert talk.dialogue.unanswered
    talk.send(OK[cut:])
    assert talk.sent == OK
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]


def test_a_response_that_is_sent_in_part() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    talk = Talk()
    talk.receive(PLAIN)
    assert not talk.plan(big).settled
    talk.send(big, [10, -errno.EAGAIN, 30, 20_000])
    assert talk.sent == big
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]


def test_moved_bodies() -> None:
    server = Talk()
    server.receive(PLAIN)
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    server.dialogue.moved(4, False, 1)
    server.dialogue.moved(5, False, 1)
    assert server.kinds[-1] == "MESSAGE_END"
    client = Talk()
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    client.dialogue.moved(9, False, 1)
    client.send(PLAIN)
    client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    client.dialogue.moved(9, True, 1)
    assert client.kinds == ["REQUEST_HEAD", "MESSAGE_END", "REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]
    client.dialogue.moved(-errno.EAGAIN, True, 1)
    assert not client.dialogue.settled
    client.dialogue.moved(1, True, 1)
    assert client.dialogue.settled


def test_moved_before_anything_else() -> None:
    talk = Talk()
    talk.dialogue.moved(10, False, 1)
    assert talk.dialogue.settled


def test_the_end_of_a_response_without_length() -> None:
    for side in Side:
        talk = Talk()
        talk.receive(PLAIN) if side is Side.SERVER else talk.send(PLAIN)
        answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
        talk.send(answer) if side is Side.SERVER else talk.receive(answer)
        assert talk.dialogue.answering
        talk.dialogue.eof(inbound=side is Side.SERVER, now=1)
        assert talk.dialogue.unanswered  # it was the other direction
        talk.dialogue.eof(inbound=side is Side.CLIENT, now=1)
        assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]


def test_failure() -> None:
    talk = Talk()
    talk.send(PLAIN + PLAIN)
    talk.dialogue.fail("timeout", 1)
    assert [payload for kind, _, payload in talk.records if kind is Kind.EXCHANGE_FAILED] == [
        ExchangeFailed(Side.CLIENT, "timeout")
    ] * 2
    assert not talk.dialogue.unanswered


def client_gone(part: bytes = b"", how: str = "ended") -> Talk:
    """A request was read, `part` of its answer sent, and then its client has gone."""
    talk = Talk()
    talk.receive(PLAIN)
    if part:
        talk.send(part)
    if how == "ended":
        talk.dialogue.ended(talk.thread, 2)
    else:
        talk.dialogue.broken(talk.thread, "ECONNRESET", how == "reading", 2)
    talk.close()
    assert not talk.dialogue.unanswered
    return talk


def proven(talk: Talk) -> bool:
    """Whether the next request, on a connection of its own, has its thread's calls."""
    following = Talk(group=talk.group)
    following.thread = talk.thread
    following.receive(PLAIN)
    return talk.thread.cause(None) is not None


@pytest.mark.parametrize("part", [b"", OK[:-1]])
@pytest.mark.parametrize("how", ["ended", "reading"])
def test_a_client_that_is_seen_to_go_may_still_be_worked_for(how: str, part: bytes) -> None:
    talk = client_gone(part, how)
    assert talk.thread.interleaves
    assert not proven(talk)


@pytest.mark.parametrize("part", [b"", OK[:-1]])
def test_a_client_that_is_seen_to_go_when_its_answer_is_sent_is_not_worked_for(part: bytes) -> None:
    """The program was at the end of it."""
    assert proven(client_gone(part, "writing"))


def test_a_connection_that_the_program_closes_by_itself_leaves_no_doubt() -> None:
    talk = Talk()
    talk.receive(PLAIN)
    talk.thread.interleaves = True
    talk.close()
    assert proven(talk)


def test_a_call_whose_peer_breaks_off_leaves_no_doubt() -> None:
    talk = Talk()
    talk.receive(PLAIN)
    talk.thread.interleaves = True
    call = Talk(group=talk.group)
    call.thread = talk.thread
    call.send(PLAIN)
    call.dialogue.broken(talk.thread, "ECONNRESET", True, 2)
    assert talk.thread.cause(None) is not None


def test_what_isnt_http_waits_for_nothing() -> None:
    """A connection to a database was made for a request, and stays; the request goes on to something else."""
    talk = Talk()
    talk.receive(PLAIN)
    database = Talk(group=talk.group)
    database.dialogue.connecting(talk.thread)
    request = talk.thread.serving[0]
    assert request.waiting == 1
    database.thread = talk.thread
    database.send(b"\0\0\0\x08\x04\xd2\x16\x2f")
    assert request.waiting == 0
    database.dialogue.closing(3)
    assert request.dropped_at < 0


def test_connecting_again_is_no_other_call() -> None:
    """Some ask by a second connect(2) how the first one went."""
    talk = Talk()
    talk.receive(PLAIN)
    call = Talk(group=talk.group)
    call.thread = talk.thread
    for _ in range(2):
        call.dialogue.connecting(talk.thread)
    call.send(PLAIN)
    assert not talk.thread.strays
    talk.receive(PLAIN)
    call.send(PLAIN)
    call.send(PLAIN)
    assert talk.thread.strays


def test_connections_that_are_made_before_the_first_request_tell_nothing() -> None:
    talk = Talk()
    for _ in range(2):
        Talk(group=talk.group).dialogue.connecting(talk.thread)
    talk.receive(PLAIN)
    assert not talk.thread.strays


def test_a_proxy_gives_up_its_connecting_with_the_client() -> None:
    talk = Talk()
    talk.receive(PLAIN)
    call = Talk(group=talk.group)
    call.dialogue.connecting(talk.thread)
    talk.dialogue.ended(talk.thread, 2)
    call.dialogue.closing(3)
    call.dialogue.fail("timeout", 3)
    call.dialogue.closed(3)
    talk.close()
    assert proven(talk)


@pytest.mark.parametrize("first", ["call", "client"])
def test_a_proxy_gives_up_its_call_with_the_client(first: str) -> None:
    talk = Talk()
    talk.receive(PLAIN)
    call = Talk(group=talk.group)
    call.thread = talk.thread
    call.send(PLAIN)
    talk.dialogue.ended(talk.thread, 2)
    for ended in (call, talk) if first == "call" else (talk, call):
        ended.close()
    assert call.records[-1][2] == ExchangeFailed(Side.CLIENT, "timeout")
    assert proven(talk)


@pytest.mark.parametrize(("part", "error"), [(b"", "connection_closed"), (OK[:-1], "incomplete_response")])
def test_a_call_whose_peer_has_gone(part: bytes, error: str) -> None:
    talk = Talk()
    talk.send(PLAIN)
    talk.receive(part)
    talk.dialogue.ended(talk.thread, 2)
    assert talk.records[-1][2] == ExchangeFailed(Side.CLIENT, error)


def test_an_answer_before_the_call_returned() -> None:
    """Another thread reads it: the request is recorded once, and before its response."""
    talk = Talk()
    plan = talk.plan(PLAIN)
    talk.receive(OK)
    assert talk.take(plan, PLAIN, 1 << 30) == len(PLAIN)
    assert talk.kinds == ["REQUEST_HEAD", "RESPONSE_HEAD", "MESSAGE_END"]
    assert talk.sent == expected(talk, GET)
