"""How often the ptrace engine stops a program: counted exactly, by call, from what `rbinder -vv` says at the end.

A stop is a call's entry, counted under the call's name, or a call's exit, counted as "exit".
"""

from __future__ import annotations

import re
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import WITH_PTRACE
from harness import DEADLINE, Finished, Rbinder, free_port, until

Build = Callable[[str], Path]
pytestmark = WITH_PTRACE  # no other engine stops a program
REQUESTS = 40
READS = 500
# how front_calls receives, and the two calls that are then made for a request: on the server's and the client's side
CALLS = {
    "recv": ("recvfrom", "sendto"),
    "read": ("read", "write"),
    "readv": ("readv", "writev"),
    "recvmsg": ("recvmsg", "sendmsg"),
}


def stops(finished: Finished) -> Counter[str]:
    """Stops by name; their sum is what the line's own total says."""
    assert finished.status == 0, finished
    (line,) = [remark for remark in finished.remarks if re.fullmatch(r"rbinder: \d+ stops: .*", remark)]
    total, _, listed = line.removeprefix("rbinder: ").partition(" stops: ")
    counts = Counter({name: int(count) for name, count in (entry.split() for entry in listed.split(", "))})
    assert counts.total() == int(total), line
    return counts


def connect(port: int) -> socket.socket:
    """The first connection that is taken: nothing else, no probe either, ever connects to the front."""

    def attempt() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        except ConnectionRefusedError:
            return None

    connection = until(attempt, lambda: f"a connection to {port}")
    assert connection is not None
    return connection


def proxied(rbinder: Rbinder, build: Build, way: str, back: int, count: int) -> Counter[str]:
    """The stops of a front that is asked `count` times on one connection, and then ends."""
    port = free_port()
    front = rbinder.start(str(build("front_calls.c")), way, str(port), str(back), options=["-vv"])
    with connect(port) as connection:
        for number in range(count):
            connection.sendall(b"GET /work?id=%d HTTP/1.1\r\nHost: front\r\n\r\n" % number)
            answer = connection.recv(65536)
            assert b'{"id": "%d"' % number in answer, answer
            assert b'["traceparent", "' in answer, "the call was followed"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    return stops(front.wait())


@pytest.fixture
def back(rbinder: Rbinder, build: Build) -> int:
    port = free_port()
    rbinder.start(str(build("back.c")), str(port), port=port)
    return port


@pytest.mark.parametrize("way", CALLS)
def test_a_proxied_request_on_kept_connections_costs_seven_stops(
    way: str, rbinder: Rbinder, build: Build, back: int
) -> None:
    once = proxied(rbinder, build, way, back, REQUESTS)
    twice = proxied(rbinder, build, way, back, 2 * REQUESTS)
    receiving, sending = CALLS[way]
    # both reads and the call that is changed are also seen at their exit, the response is not
    assert twice - once == Counter({receiving: 2 * REQUESTS, sending: 2 * REQUESTS, "exit": 3 * REQUESTS})
    assert once - twice == Counter()


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_read_from_what_is_no_socket_costs_its_one_stop(
    kind: str, rbinder: Rbinder, build: Build, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(READS))
    finished = rbinder.run(str(build("reads.c")), str(READS), str(path if kind == "file" else kind), options=["-vv"])
    expected = Counter(read=READS, write=1) if kind == "pipe" else Counter(read=READS)
    assert stops(finished) == expected


def test_a_program_that_never_pauses_still_gets_the_signals_sent_to_rbinder(rbinder: Rbinder, build: Build) -> None:
    command = f"echo $$; exec {build('reads.c')} 1000000000 /dev/zero"
    program = rbinder.start("sh", "-c", command)
    pid = until(lambda: program.finished().stdout, lambda: "the program's id").strip()

    def calls() -> int:
        found = re.search(r"^syscr: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    until(lambda: calls() > 5000, lambda: "the program reads")
    assert program.stop().status == 128 + signal.SIGTERM
