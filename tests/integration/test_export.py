"""When spans can't be delivered: the program is none the worse, rbinder says so in one sentence and ends in time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from harness import Collector, Finished, Rbinder, free_port
from peers import not_found, peer, silence

PATIENCE = 2  # seconds given to rbinder at its end
MARGIN = 8  # seconds for everything else: start, imports and the program on a busy machine
SCRIPT = 'echo out; echo err >&2; curl -s -o /dev/null "$0"; exit 7'


def run(
    rbinder: Rbinder, environment: Mapping[str, str] | None = None, options: Sequence[str] = ("-x", "otlp")
) -> Finished:
    """Run a program that says something, makes a request and fails; its output and status must stay its own."""
    with peer(not_found) as port:
        bounded = {"RBINDER_EXIT_TIMEOUT": str(PATIENCE), **(environment or {})}
        url = f"http://127.0.0.1:{port}/"
        done = rbinder.run("sh", "-c", SCRIPT, url, options=options, environment=bounded)
    assert (done.status, done.stdout) == (7, "out\n")
    assert [line for line in done.stderr.splitlines() if not line.startswith("rbinder:")] == ["err"]
    assert done.seconds < PATIENCE + MARGIN
    return done


def only_remark(done: Finished) -> str:
    (remark,) = done.remarks
    return remark


def to(port: int, protocol: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_nobody_listens_at_the_endpoint(protocol: str, rbinder: Rbinder) -> None:
    assert "span" in only_remark(run(rbinder, to(free_port(), protocol)))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("behaviour", [not_found, silence])
def test_the_endpoint_is_no_collector(
    behaviour: Callable[[socket.socket], None], protocol: str, rbinder: Rbinder
) -> None:
    with peer(behaviour) as port:
        assert "span" in only_remark(run(rbinder, to(port, protocol)))


def test_the_endpoint_is_a_wrong_path(rbinder: Rbinder, collector: Collector) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.endpoint()}/nothing/here"}
    assert "span" in only_remark(run(rbinder, wrong))


def test_a_full_disk(rbinder: Rbinder) -> None:
    assert "/dev/full" in only_remark(run(rbinder, options=("-x", "file", "-o", "/dev/full")))


def test_a_file_that_cannot_be_opened(rbinder: Rbinder, tmp_path: Path) -> None:
    file = str(tmp_path / "missing" / "spans.jsonl")
    assert file in only_remark(run(rbinder, options=("-x", "file", "-o", file)))


BAD_VALUES: list[tuple[str, str]] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
    ("OTEL_TRACES_SAMPLER", "now_and_then"),
    ("OTEL_PROPAGATORS", "tracecontext,pigeon"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/pigeon"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "long"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_is_told_and_its_default_used(
    name: str, value: str, rbinder: Rbinder, collector: Collector
) -> None:
    assert name in only_remark(run(rbinder, {name: value}))
    assert collector.spans(1)
