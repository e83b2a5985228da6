"""Where one thread serves many requests, or others do its work: right or unbound, never another request's parent."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engines import WITH_PTRACE
from harness import DEADLINE, TARGETS, Rbinder, free_port, listens, until

REQUESTS, CONNECTIONS = 320, 16
NODE_SHAPES = ("once", "sleep", "file", "fan", "nested", "limited", "fan-limited", "nested-limited")
ALWAYS_RIGHT = ("once",)  # the call is made while the request is being read


def trace_of(number: int) -> str:
    return f"{0xABC << 64 | number:032x}"


@pytest.fixture
def back(engine: str) -> Iterator[int]:
    """A back that is not traced: what arrives at it is told by its answers."""
    port = free_port()
    process = subprocess.Popen(["node", str(TARGETS / "back_jitter.js"), str(port)])
    until(lambda: listens(port), lambda: "the back doesn't listen")
    yield port
    process.terminate()
    process.wait(DEADLINE)


def ask(port: int, numbers: range) -> list[dict[str, str]]:
    """One connection's requests, and what the calls made for them have brought to the back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    calls: list[dict[str, str]] = []
    for number in numbers:
        headers = {"traceparent": f"00-{trace_of(number)}-00000000000000ff-01"}
        connection.request("GET", f"/work?id={number}", headers=headers)
        calls += json.loads(connection.getresponse().read())
    connection.close()
    return calls


def judge(port: int) -> Counter[str]:
    """How many calls were right, wrong (in another request's trace), unbound (in a trace of their own)."""
    ours = {trace_of(number): str(number) for number in range(REQUESTS)}
    share = REQUESTS // CONNECTIONS
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        parts = pool.map(lambda index: ask(port, range(index * share, (index + 1) * share)), range(CONNECTIONS))
    verdicts: Counter[str] = Counter()
    for call in (call for part in parts for call in part):
        owner = ours.get(call["traceparent"].split("-")[1])
        verdicts["unbound" if owner is None else "right" if owner == call["id"] else "wrong"] += 1
    return verdicts


@pytest.mark.parametrize("shape", NODE_SHAPES)
def test_an_event_loop(rbinder: Rbinder, back: int, shape: str) -> None:
    port = free_port()
    rbinder.start("node", str(TARGETS / "front_shapes.js"), str(port), str(back), shape, port=port)
    verdicts = judge(port)
    calls = REQUESTS * {"fan": 3, "nested": 2}.get(shape.partition("-")[0], 1)
    assert verdicts.total() == calls
    assert verdicts["wrong"] == 0
    if shape in ALWAYS_RIGHT:
        assert verdicts["right"] == calls


def test_a_growing_pool_of_threads(rbinder: Rbinder, back: int) -> None:
    port = free_port()
    rbinder.start(sys.executable, str(TARGETS / "front_pool.py"), str(port), str(back), port=port)
    verdicts = judge(port)
    assert verdicts.total() == 3 * REQUESTS
    assert verdicts["wrong"] == 0


@WITH_PTRACE  # Go makes its calls without the C library
def test_goroutines(rbinder: Rbinder, back: int, build: Callable[[str], Path]) -> None:
    port = free_port()
    rbinder.start(str(build("front_go.go")), str(port), str(back), port=port)
    verdicts = judge(port)
    assert verdicts.total() == REQUESTS
    assert verdicts["wrong"] == 0
