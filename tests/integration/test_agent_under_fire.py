"""A front and a back under load while rbinder's own processes are killed, stopped and starved: no request notices it.

What could not be kept is told at the end: spans and losses together are exactly what the requests would have given.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, Finished, Program, Rbinder, clean_environment, free_port, until
from peers import peer, silence
from processes import children, end, exporter, stop, tracer, wait_until_gone

from rbinder.exporters.batch import BATCH_SIZE

pytestmark = WITH_AGENT
Build = Callable[..., Path]
CONNECTIONS = 8
ALL = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000", "RBINDER_EXIT_TIMEOUT": "60"}  # nothing is lost at the exporter
FEW_BATCHES = {"OTEL_EXPORTER_OTLP_TIMEOUT": "200", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1000"}
SERVER, CLIENT = 2, 3  # OTLP's span kinds
ENDED = 128 + signal.SIGTERM


class Load:
    """A bounded number of requests, each with the trace id of its number; the first of each connection is answered."""

    def __init__(
        self, program: Path, port: int, count: int, first: int = 1, *more: str, connections: int = CONNECTIONS
    ):
        assert count % connections == 0
        self.ids = range(first, first + count)
        command = [str(program), str(port), str(connections), str(count), str(first), *more]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process: subprocess.Popen[str] = subprocess.Popen(command, env=clean_environment(), **pipes)  # type: ignore[call-overload]
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "begun\n"

    def go(self) -> None:
        """The rest of the requests."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> set[int]:
        """Wait for all answers; the requests that failed."""
        output, _ = self._process.communicate(timeout=DEADLINE)
        *failed, answered = output.splitlines()
        numbers = {int(line.removeprefix("failed ")) for line in failed}
        assert answered == f"{len(self.ids) - len(numbers)} answered"
        return numbers

    def all_answered(self) -> None:
        self.go()
        assert self.finish() == set()


@dataclass
class Spans:
    """The spans in a file, by the number of the request that they belong to."""

    kinds: dict[int, Counter[int]]
    wrong_parents: int

    @property
    def count(self) -> int:
        return sum(sum(kinds.values()) for kinds in self.kinds.values())


def spans_in(path: Path) -> Spans:
    servers: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    kinds: dict[int, Counter[int]] = {}
    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            found += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    for span in found:
        kinds.setdefault(int(span["traceId"], 16), Counter())[span["kind"]] += 1
        if span["kind"] == SERVER:
            assert span["parentSpanId"] == span["traceId"][16:]  # as the load sends it
            servers[span["traceId"]] = span["spanId"]
    calls = [span for span in found if span["kind"] == CLIENT and span["traceId"] in servers]
    return Spans(kinds, sum(call["parentSpanId"] != servers[call["traceId"]] for call in calls))


def lost(finished: Finished) -> int:
    """How many spans were lost, as it is said at the end."""
    told = [re.match(r"rbinder: (\d+) spans? (?:was|were) lost ", remark) for remark in finished.remarks]
    return sum(int(match.group(1)) for match in told if match)


@pytest.fixture
def load_program(build: Build) -> Path:
    return build("load.c")


@pytest.fixture
def back(build: Build, tmp_path: Path) -> Iterator[int]:
    """An untraced back end's port."""
    port = free_port()
    program = Program([str(build("back.c")), str(port)], clean_environment(), tmp_path)
    program.wait_for_port(port)
    yield port
    program.stop(-signal.SIGTERM)


@dataclass
class Front:
    """A traced front; its spans go to a file."""

    program: Program
    port: int
    file: Path
    load: Path

    def fire(self, count: int, first: int = 1) -> Load:
        return Load(self.load, self.port, count, first)

    @property
    def collector(self) -> int:
        return exporter(self.program.process.pid)


@pytest.fixture
def front(rbinder: Rbinder, build: Build, load_program: Path, back: int, tmp_path: Path) -> Front:
    port, file = free_port(), tmp_path / "spans"
    command = [str(build("front.c")), str(port), str(back)]
    program = rbinder.start(*command, options=("-x", "file", "-o", str(file)), environment=ALL, port=port)
    return Front(program, port, file, load_program)


def test_sixty_four_threads(front: Front) -> None:
    """Each has a connection and two hundred requests: every call has its own request as its parent."""
    load = Load(front.load, front.port, 64 * 200, connections=64)
    load.all_answered()
    finished = front.program.stop(ENDED)
    spans = spans_in(front.file)
    assert spans.count + lost(finished) == 2 * len(load.ids)
    assert spans.wrong_parents == 0
    assert all(kinds[SERVER] <= 1 and kinds[CLIENT] <= 1 for kinds in spans.kinds.values())


def test_the_collector_is_killed_again_and_again(front: Front) -> None:
    for kills in range(3):
        load = front.fire(1000, 1 + kills * 1000)
        killed = front.collector
        load.go()
        end(killed)
        assert load.finish() == set()
        until(lambda killed=killed: front.collector != killed, lambda: "another collector")  # type: ignore[misc]
    last = front.fire(1000, 900001)
    last.all_answered()
    finished = front.program.stop(ENDED)
    *kills, losses = finished.remarks if lost(finished) else [*finished.remarks, ""]
    assert ["the collector was killed" in remark and "another one goes on" in remark for remark in kills] == [True] * 3
    assert ("lost" in losses) is bool(lost(finished))
    spans = spans_in(front.file)
    assert spans.wrong_parents == 0
    assert sum(sum(spans.kinds.get(number, Counter()).values()) for number in last.ids) == 2000
    # one killed between the delivery of a batch and its being counted leaves that batch to be told as lost
    assert 2 * 4000 <= spans.count + lost(finished) <= 2 * 4000 + 3 * BATCH_SIZE
    assert all(kinds[SERVER] <= 1 and kinds[CLIENT] <= 1 for kinds in spans.kinds.values())


def test_no_collector_is_left(front: Front) -> None:
    """After some that were killed there is no other: the ring fills, and nobody waits for it."""
    for _ in range(4):
        killed = front.collector
        end(killed)
        until(lambda killed=killed: killed not in children(front.program.process.pid), lambda: "it is waited for")  # type: ignore[misc]
    front.fire(6000).all_answered()
    finished = front.program.stop(ENDED)
    assert len([remark for remark in finished.remarks if "the collector was killed" in remark]) == 4


def test_the_keeper_is_killed(front: Front) -> None:
    load = front.fire(3000)
    keeper = tracer(front.program.process.pid)
    load.go()
    end(keeper)
    assert load.finish() == set()
    finished = front.program.stop(ENDED)
    assert "the keeper was killed: the program goes on" in finished.remarks[0]
    assert spans_in(front.file).count + lost(finished) == 6000


def test_the_launcher_is_killed(front: Front) -> None:
    """The program goes on without anybody to wait for it, and so does the collector to its end."""
    launcher = front.program.process.pid
    load, collecting = front.fire(400), front.collector
    (pid,) = children(tracer(launcher))
    load.go()
    os.kill(launcher, signal.SIGKILL)
    assert load.finish() == set()
    front.program.wait()
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(collecting)
    assert spans_in(front.file).count == 800


@pytest.mark.parametrize(("requests", "fits"), [(400, True), (6000, False)], ids=["fits", "fills"])
def test_the_collector_is_stopped_for_a_while(requests: int, fits: bool, front: Front) -> None:
    """As much as the ring takes comes late; what it can't take is counted, and told."""
    load = front.fire(requests)
    stop(front.collector)
    load.all_answered()
    os.kill(front.collector, signal.SIGCONT)
    finished = front.program.stop(ENDED)
    spans = spans_in(front.file)
    assert spans.count + lost(finished) == 2 * requests
    assert (lost(finished) == 0) is fits
    assert spans.wrong_parents == 0


@pytest.mark.parametrize("what", ["unreachable", "silent"])
def test_the_endpoint_does_not_answer(what: str, rbinder: Rbinder, build: Build, load_program: Path, back: int) -> None:
    """All is lost, and said to be."""
    port = free_port()
    command = [str(build("front.c")), str(port), str(back)]
    with peer(silence) as silent:
        target = silent if what == "silent" else free_port()
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{target}", "RBINDER_EXIT_TIMEOUT": "15"}
        program = rbinder.start(*command, environment=FEW_BATCHES | endpoint, port=port)
        Load(load_program, port, 3000).all_answered()
        finished = program.stop(ENDED)
    assert lost(finished) == 6000


def test_workers_are_killed(rbinder: Rbinder, build: Build, load_program: Path, back: int, tmp_path: Path) -> None:
    """Only what a killed worker had in hand fails; of every answer there are the spans."""
    port, file = free_port(), tmp_path / "spans"
    command = [str(build("prefork.c")), str(port), str(back)]
    program = rbinder.start(*command, options=("-x", "file", "-o", str(file)), environment=ALL, port=port)
    (master,) = children(tracer(program.process.pid))
    load = Load(load_program, port, 4000, 1, "reconnect")
    until(lambda: len(children(master)) == 4, lambda: "four workers")
    workers = children(master)
    load.go()
    for worker in workers[:3]:
        os.kill(worker, signal.SIGKILL)
    failed = load.finish()
    assert len(failed) <= 3 * CONNECTIONS
    finished = program.stop(0)
    spans = spans_in(file)
    answered = [spans.kinds.get(number, Counter()) for number in load.ids if number not in failed]
    missing = sum((kinds[SERVER] != 1) + (kinds[CLIENT] != 1) for kinds in answered)
    assert missing <= lost(finished)
    assert spans.wrong_parents == 0
