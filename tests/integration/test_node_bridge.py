"""What the agent loads into Node: it isn't seen, it says whose calls are, and it stays away where it was told to."""

from __future__ import annotations

import http.server
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, Program, Rbinder, clean_environment, exchange, free_port, serving, until

pytestmark = WITH_AGENT  # the other engine loads nothing into programs

UNSENT = ("-q", "-x", "none")
HEAD = "{method} {path} HTTP/1.1\r\nHost: front\r\ntraceparent: 00-{trace:032x}-00000000000000ff-01\r\n"


class Back(http.server.ThreadingHTTPServer):
    """Remembers each call's path and trace id, in their order."""

    daemon_threads = True
    calls: list[tuple[str, int]]
    connections = 0

    def process_request(self, *arguments: Any) -> None:
        self.connections += 1
        super().process_request(*arguments)

    def traces(self, path: str) -> list[int]:
        return [trace for called, trace in list(self.calls) if called == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Back

    def do_GET(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        found = re.match(r"00-([0-9a-f]{32})-", self.headers.get("traceparent", ""))
        self.server.calls.append((self.path, int(found[1], 16) if found else 0))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def back() -> Iterator[Back]:
    server = Back(("127.0.0.1", 0), Handler)
    server.calls = []
    with serving(server):
        yield server


def start(rbinder: Rbinder, back: Back, *more: str, options: tuple[str, ...] = ()) -> int:
    port = free_port()
    command = ("node", str(TARGETS / "late_node.cjs"), str(port), str(back.server_port), *more)
    rbinder.start(*command, options=(*UNSENT, *options), port=port)
    return port


def request(path: str, trace: int, close: bool = True) -> bytes:
    text = HEAD.format(method="GET", path=path, trace=trace)
    return f"{text}{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n".encode()


def called(back: Back, path: str, count: int = 1) -> list[int]:
    """Wait for so many calls; their trace ids."""
    return until(
        lambda: found if len(found := back.traces(path)) >= count else [], lambda: f"{count} of {path}: {back.calls}"
    )


# -- it isn't seen


def seen(command: list[str], environment: dict[str, str], directory: Path) -> tuple[int, str, str]:
    """What the program says by itself."""
    finished = Program(command, environment, directory).wait()
    return finished.status, finished.stdout, finished.stderr


@pytest.mark.parametrize("options", ["", "--no-warnings", f"--require {TARGETS / 'nothing_node.cjs'}"])
def test_a_program_sees_no_difference(rbinder: Rbinder, options: str, tmp_path: Path) -> None:
    command = ["node", "--stack-trace-limit=50", str(TARGETS / "seen_node.cjs")]
    environment = rbinder.environment({"NODE_OPTIONS": options} if options else {})
    finished = rbinder.run(*command, options=UNSENT, environment=environment)
    assert (finished.status, finished.stdout, finished.stderr) == seen(command, environment, tmp_path)
    assert "while serving" in finished.stdout


@pytest.mark.parametrize("flag", ["--experimental-permission", "--no-addons"])
def test_where_nothing_may_be_loaded_nothing_is(rbinder: Rbinder, flag: str, tmp_path: Path) -> None:
    more = [f"--allow-fs-read={TARGETS}/*"] if "permission" in flag else []
    command = ["node", "--no-warnings", flag, *more, str(TARGETS / "nothing_node.cjs")]
    finished = rbinder.run(*command, options=UNSENT)
    assert (finished.status, finished.stdout, finished.stderr) == seen(command, clean_environment(), tmp_path)


@pytest.mark.parametrize(("arguments", "present"), [((), "true"), (("sdk",), "false")], ids=["alone", "sdk"])
def test_it_yields_to_a_program_that_traces_itself(rbinder: Rbinder, arguments: tuple[str, ...], present: str) -> None:
    finished = rbinder.run("node", str(TARGETS / "traced_node.cjs"), *arguments, options=UNSENT)
    assert (finished.status, finished.stdout, finished.stderr) == (0, f"{present}\n", "")


# -- whose calls are


def test_a_listener_of_the_body(rbinder: Rbinder, back: Back) -> None:
    """The body comes later than the head, and is read in nobody's name but the connection's."""
    port = start(rbinder, back)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        head = HEAD.format(method="POST", path="/body", trace=5) + "Content-Length: 4\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        exchange(port, request("/slow", 6))  # the front has read the head, and served another one meanwhile
        connection.sendall(b"body")
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert back.traces("/body") == [5]
    assert back.traces("/slow") == [6]


def test_pipelined_requests(rbinder: Rbinder, back: Back) -> None:
    """They come in one read; each has its calls."""
    port = start(rbinder, back)
    paths = [f"/slow?{number}" for number in range(6)]
    exchange(port, b"".join(request(path, 10 + at, at == 5) for at, path in enumerate(paths)))
    assert [back.traces(path) for path in paths] == [[10 + at] for at in range(6)]


def test_a_timer_outlives_very_many_promises(rbinder: Rbinder, back: Back) -> None:
    """Of its own request, and of another one."""
    port = start(rbinder, back)
    paths = [f"/many?{number}" for number in range(4)]
    exchange(port, b"".join(request(path, 60 + at, at == 3) for at, path in enumerate(paths)))
    assert [back.traces(path) for path in paths] == [[60 + at] for at in range(4)]


def test_a_body_that_is_sent_bit_by_bit(rbinder: Rbinder, back: Back) -> None:
    port = start(rbinder, back)
    for trace in (20, 21, 22):
        exchange(port, request("/upload", trace))
    assert back.traces("/upload") == [20, 21, 22]


def test_a_connection_that_was_made_for_a_call_given_up(rbinder: Rbinder, back: Back) -> None:
    """It is kept, and carries another request's call while the first one isn't answered."""
    port = start(rbinder, back)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(request("/given-up", 60))
        until(lambda: back.connections, lambda: "no connection came")
        exchange(port, request("/kept", 61))
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert back.traces("/kept") == [61]
    assert back.connections == 1


def test_what_is_done_after_the_answer_is_for_nobody(rbinder: Rbinder, back: Back) -> None:
    port = start(rbinder, back)
    exchange(port, request("/after", 30))
    (trace,) = called(back, "/after")
    assert trace not in (0, 30)


def test_what_lives_on_keeps_no_request(rbinder: Rbinder, back: Back) -> None:
    """Neither the one that made it, nor one that is served while it works."""
    port = start(rbinder, back)
    exchange(port, request("/refresher", 40))
    called(back, "/refreshed", 3)
    for trace in range(41, 50):
        exchange(port, request("/slow", trace))
    assert back.traces("/refresher") == [40]
    assert back.traces("/slow") == list(range(41, 50))
    assert set(back.traces("/refreshed")).isdisjoint({0, *range(40, 50)})


def test_a_worker_without_the_bridge_is_followed_by_the_rules(rbinder: Rbinder, back: Back) -> None:
    """A worker with options of its own loads none; one request at a time is bound all the same."""
    port = start(rbinder, back, "worker")
    exchange(port, request("/slow", 50))
    assert back.traces("/slow") == [50]


def test_it_can_be_left_out(rbinder: Rbinder, back: Back, tmp_path: Path) -> None:
    log = tmp_path / "opened"
    trace = ("strace", "-f", "-e", "trace=openat,open", "-o", str(log), "node", str(TARGETS / "nothing_node.cjs"))
    rbinder.run(*trace, options=(*UNSENT, "--no-runtime-hooks"))
    assert "nothing_node.cjs" in log.read_text()
    assert "agent/node.cjs" not in log.read_text()
    rbinder.run(*trace, options=UNSENT)
    assert "agent/node.cjs" in log.read_text()
