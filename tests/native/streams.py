"""Random HTTP/1 streams, damaged ones, and random ways to feed them: what fuzzers of scanners are fed with."""

from __future__ import annotations

import random

from conformance.wire_cases import CASES

from native.http import Both
from rbinder.http.events import Head

_SMALL = [case.wire for case in CASES if not case.large]
_LARGE = [case.wire for case in CASES if case.large]
_METHODS = [b"GET", b"GET", b"POST", b"HEAD", b"CONNECT", b"PUT", b"connect"]
_NAMES = [
    b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Host", b"User-Agent",
    b"traceparent", b"TraceState", b"baggage", b"b3", b"B3", b"X-B3-TraceId", b"x-b3-", b"x-b3-a.b", b"X-Request-Id",
    b"x-ot-span-context", b"Cookie", b"X", b"content-type", b"Forwarded", b"x-forwarded-for", b"X-Forwarded-Proto",
    b"x-forwarded-host", b"Expect", b"Content-Encoding", b"uxgrade", b"Authorization", b"3b", b"_a!~",
]  # fmt: skip
_VALUES = [
    b"3", b"0", b"03", b"3, 3", b"3,4", b"", b"chunked", b"Chunked", b"gzip", b"gzip, chunked", b", chunked ,",
    b"chunked, chunked", b"close", b"keep-alive", b"Keep-Alive, Upgrade", b"CLOSE , x", b"h2c", b",", b"a b",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"x" * 100, b"chun ked", b"user@host", b"a\tb", b"\x0b",
    b"999999999999999999", b"1234567890123456789", b"\xe9", b"keep-alivekeep-alive", b"chunkedchunkedchunkedchunked",
]  # fmt: skip
_ENDS = [b"\r\n"] * 8 + [b"\n"] * 3 + [b"\r\n ", b"\n\t", b"\r\r\n", b"\r", b"\n\n", b"\0\r\n", b"\r\n \r\n"]
_TARGETS = [
    b"/", b"*", b"/a?b=c", b"http://u:p@h/x?sig=1&a", b"a:443", b"u@h:1", b"/\xc3\xa9?Signature=x#y&sig=z",
    b"/a;sig=b;c",
    b"/?X-Amz-Signature=a&X-Amz-Credential=b;sig=c", b"//u@h", b"ht+p-1.0://a@b@c/@", b"1a://u@h", b"/a b",
    b"",
]  # fmt: skip


def field(rng: random.Random) -> bytes:
    colon = rng.choice([b":", b": ", b": ", b":\t", b" :", b""] if rng.random() < 0.05 else [b":", b": "])
    return rng.choice(_NAMES) + colon + rng.choice(_VALUES) + rng.choice(_ENDS if rng.random() < 0.3 else _ENDS[:9])


def start(rng: random.Random, responses: bool) -> bytes:
    end = rng.choice(_ENDS if rng.random() < 0.05 else _ENDS[:9])
    version = rng.choice([b"1.1"] * 8 + [b"1.0", b"1.2"])
    if responses:
        status = rng.choice([b"200"] * 4 + [b"100", b"101", b"103", b"204", b"304", b"404", b"99", b"2000", b"599"])
        return b"HTTP/%s %s%s%s" % (version, status, rng.choice([b" OK", b"", b" ", b" a\x0bb \xe9"]), end)
    target = rng.choice(_TARGETS) if rng.random() < 0.3 else b"/"
    return b"%s %s HTTP/%s%s" % (rng.choice(_METHODS), target, version, end)


def head(rng: random.Random, responses: bool) -> bytes:
    fields = [field(rng) for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 70]) if rng.random() < 0.5 else 1)]
    if rng.random() < 0.5:
        fields.append(
            rng.choice([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"content-length:\n 3\n"])
        )
    return start(rng, responses) + b"".join(fields) + rng.choice([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\rx"])


def body(rng: random.Random) -> bytes:
    return rng.choice([
        b"", b"abc", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n",
        b"1;" + b"e" * 80 + b"\r\nx\r\n00\nT: 1\n\n",
        b"A\r\n0123456789\n0\n\r\n", b"5 \t\r\nabcde\r\n0\r\nA: b\r\nB\r\n\r\n", b"g\r\n", b"1234567890123456\r\n",
        b"1\rx",
        b"2" + b" " * 90 + b"\r\nab\r\n0\r\n\n", b"0\r\n\r\r\n\n", b"123456789abcdef\r\nabc",
    ])  # fmt: skip


def long_lines(rng: random.Random) -> bytes:
    """Many lines, or long ones: with others around them, a head that outgrows what is kept of one."""
    lines = b""
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        if kind < 0.4:
            lines += rng.choice([b"X-Filler: " + b"v" * 90 + b"\r\n", b"a:b\n"]) * rng.randint(100, 900)
        elif kind < 0.7:
            name = rng.choice([*_NAMES, b"n" * 256, b"n" * 257])
            lines += name + b":" + b"c" * rng.randint(1, 100_000) + rng.choice(_ENDS)
        else:
            lines += b"".join(field(rng) for _ in range(rng.randint(1, 80)))
    return lines


def long_head(rng: random.Random, responses: bool) -> bytes:
    whole = start(rng, responses) + long_lines(rng) + b"".join(field(rng) for _ in range(rng.randint(0, 3)))
    return whole + long_lines(rng) * rng.randint(0, 1) + rng.choice([b"\r\n", b"\n", b"Content-Length: 3\r\n\r\n", b""])


def stream(rng: random.Random, responses: bool) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        wire = b"".join(rng.choice(_SMALL) for _ in range(rng.randint(1, 3)))
    elif kind < 0.96:
        wire = b"".join(head(rng, responses) + body(rng) for _ in range(rng.randint(1, 4)))
    else:
        wire = rng.choice([rng.choice(_LARGE), long_head(rng, responses), long_head(rng, responses)]) + body(rng)
    if rng.random() < 0.3:
        damaged = bytearray(wire)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice([rng.randrange(256), *b"\r\n :,\t\0"])
        wire = bytes(damaged)
    return wire


def cut(rng: random.Random, wire: bytes) -> list[bytes]:
    kind = rng.random()
    if kind < 0.2:
        places = []
    elif kind < 0.4 and len(wire) < 1000:
        places = list(range(1, len(wire)))
    else:
        places = sorted(rng.randrange(len(wire) + 1) for _ in range(rng.randint(1, 8)))
    return [wire[begin:end] for begin, end in zip([0, *places], [*places, len(wire)], strict=True)]


def feed(rng: random.Random, both: Both, piece: bytes) -> None:
    """Feed a piece, but pass over what is skippable, now and then."""
    at = 0
    while at < len(piece) and rng.random() < 0.3:
        count = min(both.scanner.skippable, len(piece) - at)
        if not count:
            break
        both.skip(count)
        at += count
    for event in both.feed(piece[at:]):
        if isinstance(event, Head):
            both.fields(event)
            both.reduce(event.raw, rng.choice([80, 16384, rng.randint(80, 400)]))


def run(rng: random.Random, both: Both) -> None:
    """One stream, cut, tried and committed, given up, and what else happens to a connection."""
    responses = rng.random() < 0.5
    wire = stream(rng, responses)
    both.new(responses, [rng.choice(_METHODS) for _ in range(rng.randint(1, 5))])
    pieces = cut(rng, wire)
    while pieces:
        tried = rng.random()
        if tried < 0.5:
            feed(rng, both, pieces.pop(0))
        else:
            count = rng.randint(1, 3)
            both.attempt()
            for piece in pieces[:count]:
                feed(rng, both, piece)
            if tried < 0.8:
                both.commit()
                del pieces[:count]
            else:
                both.abandon()
        odd = rng.random()
        if odd < 0.01:
            rng.choice([both.give_up, both.eof])()
        elif odd < 0.02:
            both.skip(rng.randint(0, 5))
        elif odd < 0.05:
            both.expect(rng.choice(_METHODS))
        elif odd < 0.1:
            both.resume()
    both.eof()


def reduced(rng: random.Random, both: Both) -> None:
    """A head made small: a good one, or one that no scanner has accepted."""
    raw = head(rng, rng.random() < 0.3) + b"".join(field(rng) for _ in range(rng.randint(0, 4)))
    if rng.random() < 0.3:
        raw = raw[: rng.randint(raw.find(b"\n") + 1, len(raw))]
    if b"\n" in raw:
        both.reduce(raw, rng.choice([80, 100, 150, 200, 16384, rng.randint(80, 400)]))
