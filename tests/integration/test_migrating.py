"""Runtimes that pass tasks around among threads and aren't asked: recognised, and bound where there is no choice."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, Rbinder, exchange, free_port, serving

NET = 'const char *coreclr_initialize(void) { return "as .NET exports it"; }'
OTHER = 'const char *other_initialize(void) { return "nothing like it"; }'
NAMED = """
#define main serves
#include "front.c"
#undef main
#include <sys/prctl.h>
int main(int count, char **words) { prctl(PR_SET_NAME, ".NET TP Worker"); serves(count, words); }
"""


class Back(http.server.ThreadingHTTPServer):
    """Answers the first call when the second one has come: both requests are open then."""

    daemon_threads = True
    arrived = 0
    traces: dict[str, str]
    first: threading.Event
    second: threading.Event


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Back

    def do_GET(self) -> None:
        number = self.path.rpartition("=")[2]
        self.server.traces[number] = self.headers["traceparent"].split("-")[1]
        if number == "1":
            self.server.first.set()
            assert self.server.second.wait(DEADLINE)
        else:
            self.server.second.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def back() -> Iterator[Back]:
    server = Back(("127.0.0.1", 0), Handler)
    server.traces = {}
    server.first, server.second = threading.Event(), threading.Event()
    with serving(server):
        yield server


def compiled(out: Path, text: str, *flags: str | Path) -> Path:
    command = ["gcc", "-O1", f"-I{TARGETS}", "-o", out, "-x", "c", "-", "-x", "none", *flags]
    subprocess.run(command, check=True, timeout=DEADLINE, input=text, text=True)
    return out


def front_with(directory: Path, name: str, text: str) -> str:
    """A server with a thread for each connection, linked with a library of that name."""
    library = compiled(directory / name, text, "-shared", "-fPIC")
    flags = ("-Wl,--no-as-needed", library, f"-Wl,-rpath,{directory}", "-lpthread")
    return str(compiled(directory / "front", '#include "front.c"', *flags))


def trace_of(number: int) -> str:
    return f"{0xABD << 64 | number:032x}"


def ask(port: int, number: int) -> None:
    traceparent = f"traceparent: 00-{trace_of(number)}-00000000000000ff-01"
    head = f"GET /work?id={number} HTTP/1.1\r\nHost: front\r\n{traceparent}\r\nConnection: close\r\n\r\n"
    exchange(port, head.encode())


def verdicts(rbinder: Rbinder, back: Back, program: str) -> list[str]:
    """Of the call of a first request, and that of a second one that came meanwhile."""
    port = free_port()
    rbinder.start(program, str(port), str(back.server_port), options=("-q", "-x", "none"), port=port)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, port, 1)
        assert back.first.wait(DEADLINE)
        ask(port, 2)
        first.result(DEADLINE)
    return [verdict(back.traces[str(number)], number) for number in (1, 2)]


def verdict(trace: str, number: int) -> str:
    return {trace_of(number): "right", trace_of(3 - number): "wrong"}.get(trace, "unbound")


def test_a_thread_proves_nothing_in_net(rbinder: Rbinder, back: Back, tmp_path: Path) -> None:
    assert verdicts(rbinder, back, front_with(tmp_path, "libcoreclr.so", NET)) == ["right", "unbound"]


@WITH_AGENT  # the other engine looks at files alone
def test_a_runtime_is_known_by_its_threads(rbinder: Rbinder, back: Back, tmp_path: Path) -> None:
    front = str(compiled(tmp_path / "front", NAMED, "-lpthread"))
    assert verdicts(rbinder, back, front) == ["right", "unbound"]


def test_a_thread_proves_it_elsewhere(rbinder: Rbinder, back: Back, tmp_path: Path) -> None:
    assert verdicts(rbinder, back, front_with(tmp_path, "libother.so", OTHER)) == ["right", "right"]
