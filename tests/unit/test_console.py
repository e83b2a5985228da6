"""The console: traces as trees, shown when they are finished; and rbinder's sentences on stderr."""

from __future__ import annotations

import os

from made import Surrounded, make_spans, offer, shop_trace
from traffic import Traffic, number

from rbinder.exporters.console import ASCII, Console, Marks, draw
from rbinder.exporters.stderr import Stderr, visible


def test_a_trace_is_drawn_as_a_tree() -> None:
    lines = draw(shop_trace(), ASCII, colour=False)
    assert [line.rpartition(" ms ")[0].rpartition(" ")[0] for line in lines] == [
        "* GET /cart/7?id=3 200",
        "  |- > GET shop.example:8080/cart/7?id=3 200",
        "  |  `- GET /stock 200",
        "  `- > GET shop.example:8080/cart/7?id=3 - timeout",
    ]
    assert [line.rpartition(" ")[2] for line in lines] == ["shop", "shop", "stock", "shop"]
    assert "\x1b[31m" in draw(shop_trace(), Marks(), colour=True)[3]


def test_nothing_a_request_holds_reaches_the_terminal() -> None:
    traffic = Traffic()
    head = b"GET /\x1b[31m\x07 HTTP/1.1\r\n\r\n"
    (line,) = draw(make_spans(*traffic.whole(number(1), head)), Marks(), colour=False)
    assert line.isprintable()
    assert visible("a\nb\x1b") == "a\ufffdb\ufffd"


def test_a_trace_is_shown_when_it_is_finished_and_quiet(surrounded: Surrounded) -> None:
    console = surrounded.make("console")
    assert isinstance(console, Console)
    spans = shop_trace()
    offer(console, spans[:2])
    assert spans[0].context is not None
    trace = spans[0].context.trace_id.to_bytes(16)
    surrounded.open = {trace}
    assert console.tick(0.0) is None
    surrounded.open = set()
    offer(console, spans[2:])
    wait = console.tick(1.0)
    assert wait is not None
    assert surrounded.said() == ""
    assert console.tick(1.0 + wait) is None
    assert len(surrounded.said().splitlines()) == 4
    console.close(0.0)
    assert (surrounded.said(), console.lost) == ("", 0)


def test_the_end_shows_what_is_left(surrounded: Surrounded) -> None:
    console = surrounded.make("console")
    spans = shop_trace()
    assert spans[0].context is not None
    surrounded.open = {spans[0].context.trace_id.to_bytes(16)}
    offer(console, spans[:3])
    console.kick()
    assert surrounded.said() == ""
    console.last_call()
    assert len(surrounded.said().splitlines()) == 3


def test_a_sentence_is_said_once(surrounded: Surrounded) -> None:
    for _ in range(3):
        surrounded.stderr.say("so it is")
    assert surrounded.said() == "rbinder: so it is\n"


def test_quiet_says_nothing() -> None:
    reading, writing = os.pipe()
    Stderr(-1, writing).say("so it is")
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_a_reader_that_went_away_harms_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert not Stderr(0, writing).write("so it is")
    os.close(writing)
