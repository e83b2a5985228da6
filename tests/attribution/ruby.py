"""The rows of Ruby: puma, WEBrick, and servers with a thread for each connection. Debian's packages have all of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from harness import TARGETS

from attribution.rows import FORGET, SHAPES, Row

# The answer is often sent before the call is made: then the call belongs to nothing any more.


def _row(name: str, *words: str, **environment: str) -> Row:
    """`words`: the command, in which PORT stands for the port to listen on."""

    def command(port: int, back: int) -> Sequence[str]:
        return ("env", f"BACK={back}", *(word.replace("PORT", str(port)) for word in words))

    return Row(name, "Ruby", command, loose=FORGET, environment=environment)


def _own(name: str, server: str, **environment: str) -> Row:
    return _row(f"Ruby, {name}", "ruby", str(TARGETS / "shapes_ruby.rb"), "PORT", server, **environment)


def _puma(name: str, *words: str, **environment: str) -> Row:
    front = ("puma", "--quiet", "--environment", "none", "--bind", "tcp://127.0.0.1:PORT", *words)
    configured = ("--config", os.devnull, str(TARGETS / "shapes_ruby.ru"))
    return _row(f"Ruby, puma{name}", *front, *configured, **environment)


# Nobody says there for whom they are.
_ODD = dict.fromkeys(SHAPES, "handed over in ways that don't tell for whom")


def odd() -> Row:
    """None of its calls may be in another's trace; most are in none."""
    row = _row("Ruby, work handed over in odd ways", "ruby", str(TARGETS / "odd_ruby.rb"), "PORT")
    return replace(row, loose=_ODD)


def small() -> list[Row]:
    """Those that need nothing but what the tests install."""
    found = [
        _own("a thread for each connection", "threads"),
        _puma(" with 16 threads", "--threads", "16:16"),
        _puma(" in two processes, concurrent-ruby", "--threads", "1:8", "--workers", "2", WORKERS="concurrent"),
    ]
    return [replace(row, stressed=True) for row in found]


def _fibers() -> Row:
    row = _row("Ruby, async-http, fibers", "ruby", str(TARGETS / "shapes_async.rb"), "PORT")
    return replace(row, loose=FORGET | {"pool": "Async::Queue isn't followed"})


def _client(name: str) -> Row:
    row = _puma(f" with 16 threads, {name}", "--threads", "16:16", CLIENT=name)
    locks = {"fan": "it takes locks in a new thread, as a pool would"} if name == "httpclient" else {}
    return replace(row, loose=FORGET | locks)


def rows() -> list[Row]:
    return [
        *small(),
        odd(),
        _fibers(),
        _own("WEBrick", "webrick", CLIENT="new"),
        _own("a thread for each connection, concurrent-ruby", "threads", WORKERS="concurrent"),
        _own("connections taken from a queue, SizedQueue", "accepted", WORKERS="sized"),
        _puma(" with 8 threads, SizedQueue", "--threads", "8:8", CLIENT="new", WORKERS="sized"),
        *(_client(name) for name in ("excon", "http", "httpclient")),
    ]
