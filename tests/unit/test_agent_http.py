"""The agent's scanners against the Python ones: the table of wire cases, cut anywhere, and a connection's events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance.wire_cases import CASES, Case
from native.http import Both, build_driver

from rbinder.http.events import Head
from rbinder.http.framing import KEPT

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    pair = Both(build_driver(tmp_path_factory.mktemp("http")))
    yield pair
    assert pair.close() == 0


@pytest.fixture(autouse=True)
def checked(both: Both) -> Iterator[None]:
    yield
    both.check()


def new(both: Both, case: Case) -> None:
    both.new(case.direction == "response", case.methods if case.direction == "response" else ())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole(both: Both, case: Case) -> None:
    new(both, case)
    both.feed(case.wire)
    both.eof()
    both.feed(GET)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_pieces_of_any_size(both: Both, case: Case) -> None:
    for step in (1, 2, 3, 7, 16, 100, 4096, 50_000, 65_000):
        if not case.large or step > 50:
            new(both, case)
            both.pieces(case.wire, step)
            both.eof()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_in_two(both: Both, case: Case) -> None:
    for at in range(0, len(case.wire), 7919 if case.large else 1):
        new(both, case)
        both.feed(case.wire[:at])
        both.feed(case.wire[at:])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tried_first(both: Both, case: Case) -> None:
    """Each piece is tried and abandoned, and tried again and committed or fed."""
    for step in (20_000, 70_000) if case.large else (1, 3, 10, 40):
        new(both, case)
        for at in range(0, len(case.wire), step):
            piece = case.wire[at : at + step]
            both.attempt()
            both.feed(case.wire[at:])
            both.abandon()
            both.attempt()
            both.feed(piece[: len(piece) // 2])
            both.feed(piece[len(piece) // 2 :])
            both.commit()
            both.attempt()
            both.abandon()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_skipping_what_need_not_be_seen(both: Both, case: Case) -> None:
    new(both, case)
    at, wire = 0, case.wire
    while at < len(wire):
        step = min(both.scanner.skippable, len(wire) - at)
        if step:
            both.skip(step)
        else:
            step = min(500 if case.large else 3, len(wire) - at)
            both.feed(wire[at : at + step])
        at += step


def test_skipping_more_than_is_known(both: Both) -> None:
    both.new(False)
    both.skip(3)
    both.new(False)
    both.feed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
    both.skip(4)
    both.skip(4)


def test_a_refused_tunnel_is_resumed(both: Both) -> None:
    both.new(False)
    both.feed(b"CONNECT a:443 HTTP/1.1\r\n\r\n")
    both.resume()
    both.feed(GET)
    both.feed(b"CONNECT a:443 HTTP/1.1\r\n\r\n\x16")
    both.resume()
    both.feed(GET)


@pytest.mark.parametrize("fields", [64, 65, 130])
@pytest.mark.parametrize("step", [1 << 20, 40_000, 10_000])
def test_fields_about_framing_of_a_long_head(both: Both, fields: int, step: int) -> None:
    both.new(False)
    filler = b"X-Filler: " + b"v" * 1000 + b"\r\n"
    wire = b"GET / HTTP/1.1\r\n" + (b"Connection: x\r\n" + filler) * fields + filler * 80 + b"\r\n"
    both.pieces(wire, step)


@pytest.mark.parametrize("line", [b"a" * 300, b" folded", b"a:b\0", b"a:b\rc", b":", b"Content-Length: 1", b"a b:c"])
@pytest.mark.parametrize("filler", [b"X-Filler: " + b"v" * 89 + b"\r\n", b"X:\n"])
def test_a_line_at_a_place_where_a_long_head_is_folded(both: Both, line: bytes, filler: bytes) -> None:
    many = filler * (KEPT // len(filler) + 2)
    for before in (0, 1, 2, 3, 7):
        both.new(False)
        both.feed(b"POST / HTTP/1.1\r\n" + many + line[:before])
        both.feed(line[before:] + b"\r\n" + many)
        both.feed(b"Traceparent: x\r\n\r")
        both.feed(b"\nabcd")


@pytest.mark.parametrize("size", [KEPT - 1, KEPT, KEPT + 1])
def test_heads_about_as_long_as_is_kept(both: Both, size: int) -> None:
    wire = b"GET / HTTP/1.1\r\nA: b\r\nC: "
    wire += b"c" * (size - len(wire) - 2) + b"\r\n\r\n"
    for cut in (0, 1, 16, 20, 40, size - 2, size - 1, size, size + 1, size + 2):
        both.new(False)
        both.feed(wire[:cut])
        both.feed(wire[cut:] + GET)


def test_heads_in_pieces_behind_each_other_are_all_there_until_a_trial_ends(both: Both) -> None:
    both.new(False)
    both.feed(GET[:5])
    both.attempt()
    both.feed(GET[5:] + GET[:7])
    for _ in range(3):
        both.feed(GET[7:] + GET[:7])
    both.commit()
    both.feed(GET[7:])


def test_two_trials_at_once_do_no_harm(both: Both) -> None:
    """As two threads that send on one connection make them: the later one has the last word."""
    both.new(False)
    both.feed(GET[:5])
    both.check()
    both.attempt()
    both.feed(GET[5:])
    both.commit()
    both.feed(GET)


def test_without_a_buffer_left_hands_are_off(both: Both) -> None:
    both.new(False)
    both.buffers(0)
    both.feed(GET)
    both.original.give_up()  # Python's answer from here on
    both._send(b"F", GET[:5], f"opaque 0;10 {1 << 62}")
    both.buffers(1000)
    both.feed(GET)


def test_more_requests_than_are_remembered(both: Both) -> None:
    both.new(True, [b"HEAD"] * 512)
    both.original.give_up()
    both._send(b"X", b"GET", f"10 {1 << 62}")


FIELDS = b"HTTP/1.1 200 OK\r\n more\r\nA: b\r\nEmpty:\r\nX-Folded:  c \r\n  d\t\r\n\t \r\nB:e:f \r\n:\r\n\r\n"


def test_fields(both: Both) -> None:
    both.fields(Head("response", FIELDS, 0, 0, b"\r\n", b"1.1"))


@pytest.mark.parametrize(("room", "value"), [(4, b"c  d"), (3, b"c"), (1, b"c"), (0, b"")])
def test_a_continued_value_is_cut_to_its_room(both: Both, room: int, value: bytes) -> None:
    told = (b"a", b"b"), (b"empty", b""), (b"x-folded", value), (b"b", b"e:f")
    expected = "".join(f"={name.hex()}={text.hex()}" for name, text in told)
    both._send(b"I", room.to_bytes(4, "little") + FIELDS.lower(), expected)


def test_memory(both: Both) -> None:
    for seed in range(10):
        both.memory(seed)
