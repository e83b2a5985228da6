"""What the parts cost: a head, a span, a record, a stop. `make micro` runs it."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from native import build
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from programs import ROOT, environment, rbinder
from ringed import Ring
from traffic import Traffic, number

from rbinder.exchanges import Exchanges
from rbinder.exporters.otlp_wire import Encoder
from rbinder.http.events import Head
from rbinder.http.scanner import RequestScanner
from rbinder.records import Decoder, Side
from rbinder.spans import Spans

HERE = Path(__file__).resolve().parent
NATIVE = ("memory.c", "scanner.c", "lines.c", "fields.c", "walk.c", "chunks.c", "heads.c", "headers.c", "ring.c")
COUNT = 1000
PAYLOAD = 200  # bytes of a record's, about what a reduced head takes
_BROWSER = (
    "GET /cart?item=tea HTTP/1.1",
    "Host: shop.example",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br",
    "Accept-Language: en-US,en;q=0.9",
    "Cache-Control: max-age=0",
    "Connection: keep-alive",
    "Referer: http://shop.example/",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests: 1",
)
HEADS = {
    "a small head": b"GET /work?id=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: micro\r\n\r\n",
    "a browser's head": "\r\n".join((*_BROWSER, "", "")).encode(),
}

Cost = Callable[[str, int, Callable[[], int]], None]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """micro.c with the agent's sources."""
    out = tmp_path_factory.mktemp("micro") / "micro.so"
    made = build(
        [str(HERE / "micro.c"), *NATIVE, "reader.c"], out, ["-O3", "-shared", "-fPIC", "-DRBINDER_HOSTED", "-DNDEBUG"]
    )
    library = ctypes.CDLL(str(made))
    library.parse_heads.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_long]
    library.parse_heads.restype = library.pass_records.restype = ctypes.c_long
    library.pass_records.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_long]
    return library


@pytest.mark.parametrize("name", HEADS)
def test_head_in_the_agent(name: str, library: ctypes.CDLL, cost: Cost) -> None:
    head = HEADS[name]
    cost(f"{name} parsed in C (agent)", COUNT, lambda: library.parse_heads(head, len(head), COUNT))


@pytest.mark.parametrize("name", HEADS)
def test_head_beside_the_program(name: str, cost: Cost) -> None:
    head = HEADS[name]

    def work() -> int:
        scanner = RequestScanner()
        return sum(isinstance(event, Head) for _ in range(COUNT) for event in scanner.feed(head))

    cost(f"{name} parsed in Python (ptrace)", COUNT, work)


def test_record(library: ctypes.CDLL, cost: Cost) -> None:
    ring, room = Ring(Path()), 1 << 20
    out = ctypes.create_string_buffer(room)
    cost(
        f"a record of {PAYLOAD} bytes written to the ring and taken from it",
        COUNT,
        lambda: library.pass_records(ctypes.addressof(ring.reader), out, room, PAYLOAD, COUNT),
    )
    ring.close()


class _Kept(SpanProcessor):
    """The spans of one stretch."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@pytest.fixture
def made() -> Callable[[], list[ReadableSpan]]:
    """Makes COUNT spans, SERVER and CLIENT in turns, of the bytes of their records."""
    traffic, kept = Traffic(), _Kept()
    decoder, exchanges, spans = Decoder(framed=True), Exchanges(), Spans([kept])
    before = traffic.process().pack() + traffic.connection(1).pack()
    sides = (Side.SERVER, Side.CLIENT)
    whole = [record for i in range(COUNT) for record in traffic.whole(number(i + 1), side=sides[i % 2])]
    data = b"".join(record.pack() for record in whole)

    def feed(data: bytes) -> None:
        for record in decoder.feed(data):
            for exchange in exchanges.feed(record):
                spans.emit(exchange)

    def make() -> list[ReadableSpan]:
        kept.spans.clear()
        feed(data)
        return kept.spans

    feed(before)
    return make


def test_span(made: Callable[[], list[ReadableSpan]], cost: Cost) -> None:
    cost("a span made of its records", COUNT, lambda: len(made()))


def test_encoding(made: Callable[[], list[ReadableSpan]], cost: Cost) -> None:
    spans, encoder = made(), Encoder()

    def work() -> int:
        (resource,) = encoder.request(spans).resource_spans
        return sum(len(scope.spans) for scope in resource.scope_spans)

    cost("a span encoded for OTLP", COUNT, work)


@pytest.fixture(params=["untouched", "agent", "ptrace"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """writes.c in each of these ways."""
    program = build([str(HERE / "writes.c")], tmp_path / "writes", ["-O2"])
    way: str = request.param
    before = [] if way == "untouched" else rbinder("-q", "-x", "none", "-e", way)
    command = [*before, str(program), str(COUNT)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, cwd=ROOT, env=environment({})) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b".")
        assert process.stdout.read(1) == b"."  # it runs
        yield way, process
        process.stdin.close()
        assert process.wait() == 0


_WRITES = {
    "untouched": "a write(2) to what is no socket, untouched",
    "agent": "the same below the agent",
    "ptrace": "the same below ptrace, where it is one stop",
}


def test_write(writer: tuple[str, subprocess.Popen[bytes]], cost: Cost) -> None:
    way, process = writer
    assert process.stdin is not None
    assert process.stdout is not None
    ask, hear = process.stdin, process.stdout

    def work() -> int:
        ask.write(b".")
        return COUNT if hear.read(1) == b"." else 0

    cost(_WRITES[way], COUNT, work)
