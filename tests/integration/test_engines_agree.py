"""Both engines see a scenario the same way: spans, names, attributes, events, parents. Only times and ids differ."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import WITH_AGENT
from harness import TARGETS, Collector, Rbinder, Span, free_port

Build = Callable[[str], Path]
CHANGING = {"process.pid", "process.parent_pid", "network.peer.port", "client.port", "service.instance.id"}
DATA = ("--data-binary", "some body")
REQUESTS: list[tuple[str, ...]] = [
    ("/cart/7?id=3&sig=hush",),
    ("/status/404",),
    ("/status/503", "--head"),
    ("/echo", *DATA),
    ("/echo", *DATA, "--header", "Transfer-Encoding: chunked"),
    ("/old", "--http1.0"),
    ("/trace", "--header", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("/unsampled", "--header", "traceparent: 00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"),
    ("/pot", "--request", "BREW"),
]


def stable(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in CHANGING}


def described(span: Span, by_id: dict[str, Span]) -> str:
    """All of a span but ids and times, and the same of its parent's name and kind, up to the root."""
    way, above = [], by_id.get(span["parentSpanId"])
    while above:
        way.append((above["service"], above["kind"], above["name"], above["attributes"].get("url.full")))
        above = by_id.get(above["parentSpanId"])
    resource = stable(span["resource"])
    attributes = sorted(stable(span["attributes"]).items())
    events = [event["name"] for event in span.get("events", [])]
    return repr(
        (span["service"], span["kind"], span["name"], span["status"], attributes, events, way, sorted(resource.items()))
    )


def seen(rbinder: Rbinder, collector: Collector, scenario: Callable[[Rbinder], int]) -> list[str]:
    collector.reset()
    least = scenario(rbinder)
    for program in rbinder.programs:
        if program.process.poll() is None:
            program.stop()
    spans = collector.received()  # whoever has ended has sent all
    assert len(spans) >= least
    by_id = {span["spanId"]: span for span in spans}
    return sorted(described(span, by_id) for span in spans)


def requests(port: int) -> Callable[[Rbinder], int]:
    def scenario(rbinder: Rbinder) -> int:
        rbinder.start(sys.executable, str(TARGETS / "answers.py"), str(port), port=port)
        for path, *options in REQUESTS:
            rbinder.run("curl", "--silent", f"http://127.0.0.1:{port}{path}", *options)
        rbinder.run("curl", "--silent", f"http://127.0.0.1:{port}/1", f"http://127.0.0.1:{port}/2")
        return 2 * len(REQUESTS)

    return scenario


def refused(port: int) -> Callable[[Rbinder], int]:
    def scenario(rbinder: Rbinder) -> int:
        rbinder.run("curl", "--silent", f"http://localhost:{port}/")
        return 1

    return scenario


def through_a_front(port: int, front: list[str], back: list[str]) -> Callable[[Rbinder], int]:
    def scenario(rbinder: Rbinder) -> int:
        rbinder.start(*back, port=int(back[-1]))
        rbinder.start(*front, port=port)
        for number in range(5):
            rbinder.run("curl", "--silent", f"http://127.0.0.1:{port}/work?id={number}")
        return 5 * 4

    return scenario


@WITH_AGENT  # which both can trace what is built for
@pytest.mark.parametrize("name", ["requests", "refused", "C", "Node"])
def test_the_same_spans(name: str, build: Build, one_collector: Collector, tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    fronts = {
        "C": lambda: [str(build("front.c")), str(port), str(back)],
        "Node": lambda: ["node", str(TARGETS / "front.js"), str(port), str(back)],
    }
    if name in fronts:
        scenario = through_a_front(port, fronts[name](), [str(build("back.c")), str(back)])
    else:
        scenario = {"requests": requests, "refused": refused}[name](port)
    ptrace, agent = (Rbinder(engine, one_collector, tmp_path / engine) for engine in ("ptrace", "agent"))
    try:
        assert seen(agent, one_collector, scenario) == seen(ptrace, one_collector, scenario)
    finally:
        ptrace.close()
        agent.close()
