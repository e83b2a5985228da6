"""The exporter process as the launcher uses it: forked, fed by a pipe, ended by the pipe's end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, Collector, clean_environment, free_port, until
from traffic import Traffic, number

from rbinder.inbox import Inbox
from rbinder.records import Empty, Kind, Lost, Note, Record

# What the launcher does, without the rest of it: run() in a forked child of a light parent.
PROGRAM = """
import os, sys
from rbinder.collector import run
from rbinder.config import Config
heavy = [name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "google", "grpc", "h11", "logging")]
assert not heavy, heavy
source, options = int(sys.argv[1]), eval(sys.argv[2])
child = os.fork()
if child == 0:
    os._exit(run(source, Config(**options)))
os.close(source)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Running:
    """One exporter process; `send` gives it records."""

    def __init__(self, environment: dict[str, str], **options: object) -> None:
        source, self._sink = os.pipe()
        command = [sys.executable, "-c", PROGRAM, str(source), repr(options)]
        self.process = subprocess.Popen(
            command, env=clean_environment() | environment, pass_fds=[source], cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        os.close(source)

    def send(self, *records: Record) -> None:
        self.send_bytes(b"".join(record.pack() for record in records))

    def send_bytes(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._sink, data) :]

    def end(self) -> str:
        """Close the pipe; returns what it said."""
        os.close(self._sink)
        out, said = self.process.communicate(timeout=30)
        assert (self.process.returncode, out) == (0, "")
        return said


def otlp(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint()}


def test_records_become_spans(collector: Collector) -> None:
    running, traffic = Running(otlp(collector), exporters=("otlp",)), Traffic()
    running.send(traffic.process(), traffic.connection(1), *traffic.whole(number(1)), traffic.request(number(2)))
    assert running.end() == ""
    first, second = sorted(collector.received(), key=lambda span: str(span["spanId"]))
    assert (first["service"], first["attributes"]["http.response.status_code"]) == ("shop", 200)
    assert (second["attributes"]["error.type"], second["status"]["code"]) == ("process_exit", 2)


def test_a_flush_hands_over_what_is_finished(collector: Collector) -> None:
    running, traffic = Running(otlp(collector), exporters=("otlp",)), Traffic()
    running.send(*traffic.whole(number(1)), traffic.record(Kind.FLUSH, Empty()))
    assert len(collector.spans(1)) == 1
    running.send(*traffic.whole(number(2)))
    assert running.end() == ""
    assert len(collector.received()) == 2


def test_several_exporters_get_the_same(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    running, traffic = Running(otlp(collector), exporters=("otlp", "console"), output=str(path)), Traffic()
    running.send(traffic.process(), *traffic.whole(number(1)))
    assert "GET /cart/7?id=3 200" in running.end()
    assert len(collector.received()) == 1
    assert "0000000000000001" in path.read_text()


def test_the_console_shows_a_trace_while_the_program_runs() -> None:
    running, traffic = Running({}, exporters=("console",)), Traffic()
    running.send(*traffic.whole(number(1)))
    assert running.process.stderr is not None
    assert "/cart/7" in running.process.stderr.readline()
    assert running.end() == ""


def test_losses_are_one_line() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    running, traffic = Running({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, exporters=("otlp",)), Traffic()
    running.send(*traffic.whole(number(1)), *traffic.whole(number(2)), traffic.record(Kind.LOST, Lost(5)))
    started = time.monotonic()
    (line,) = running.end().splitlines()
    assert time.monotonic() - started < 8
    assert line.startswith("rbinder: 7 spans were lost (")
    assert f"{endpoint}/v1/traces: connection refused" in line
    assert "5 records were dropped" in line


def test_the_exit_timeout_bounds_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = Running({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, exporters=("otlp",), exit_timeout=0.5)
        traffic = Traffic()
        running.send(*traffic.whole(number(1)), traffic.record(Kind.FLUSH, Empty()))
        started = time.monotonic()
        (line,) = running.end().splitlines()
        assert time.monotonic() - started < 6
    assert line.startswith("rbinder: 1 span was lost (")


def test_notes_are_said_once_unless_quiet() -> None:
    for verbosity, expected in ((0, "rbinder: so it is\n"), (-1, "")):
        running, traffic = Running({}, verbosity=verbosity), Traffic()
        running.send(*(traffic.record(Kind.NOTE, Note("so it is")) for _ in range(3)))
        assert running.end() == expected


def test_no_exporter_is_no_loss() -> None:
    running, traffic = Running({}), Traffic()
    running.send(*traffic.whole(number(1)))
    assert running.end() == ""


def test_an_exporter_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "spans")
    for records, beginning in (
        (Traffic().whole(number(1)), "rbinder: 1 span was lost ("),
        ([], "rbinder: spans can't"),
    ):
        running = Running({}, exporters=("file",), output=path)
        running.send(*records)
        (line,) = running.end().splitlines()
        assert line.startswith(beginning)
        assert path in line


def test_a_corrupt_stream_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    running, traffic = Running({}, output=str(path)), Traffic()
    running.send(*traffic.whole(number(1)))
    running.send_bytes(b"\xff" * 4096)
    running.send(*traffic.whole(number(2)))
    (line,) = running.end().splitlines()
    assert "can't be read" in line
    assert "0000000000000001" in path.read_text()


def test_a_payload_that_is_none_is_a_corrupt_stream() -> None:
    running, traffic = Running({}), Traffic()
    packed = bytearray(traffic.process().pack())
    packed[48:50] = b"no"
    running.send_bytes(bytes(packed))
    assert "can't be read" in running.end()


def test_repairs_are_made_before_the_sdk_reads_them(collector: Collector) -> None:
    repairs = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": None, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    environment = otlp(collector) | {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "x"}
    running = Running(environment, exporters=("otlp",), repairs=repairs)
    running.send(*Traffic().whole(number(1)))
    assert running.end() == ""
    assert len(collector.received()) == 1


def test_signals_of_the_terminal_do_not_end_it(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    running, traffic = Running({}, output=str(path)), Traffic()
    running.send(*traffic.whole(number(1)), traffic.record(Kind.FLUSH, Empty()))
    until(lambda: path.exists() and path.read_text(), lambda: "the first span is in the file")
    child = int(Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text())
    for name in ("INT", "TERM", "HUP", "QUIT", "TSTP", "TTOU", "WINCH"):
        os.kill(child, getattr(signal, f"SIG{name}"))
    running.send(*traffic.whole(number(2)))
    assert running.end() == ""
    assert "0000000000000002" in path.read_text()


def test_it_lets_go_of_input_and_output(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    running, traffic = Running({}, output=str(path)), Traffic()
    running.send(*traffic.whole(number(1)), traffic.record(Kind.FLUSH, Empty()))
    until(lambda: path.exists() and path.read_text(), lambda: "the first span is in the file")
    child = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().strip()
    assert [os.readlink(f"/proc/{child}/fd/{number}") for number in (0, 1)] == ["/dev/null"] * 2
    assert os.getpriority(os.PRIO_PROCESS, int(child)) == 5
    running.end()


def test_a_burst_is_exported_whole(collector: Collector) -> None:
    running, traffic = Running(otlp(collector), exporters=("otlp",)), Traffic()
    running.send(traffic.process(), traffic.connection(1))
    for i in range(1, 5001):
        running.send(*traffic.whole(number(i)))
    assert running.end() == ""
    assert len({span["spanId"] for span in collector.received()}) == 5000


def test_spans_in_the_file_are_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    running, traffic = Running({}, output=str(path)), Traffic()
    for i in range(1, 1001):
        running.send(*traffic.whole(number(i)))
    running.end()
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    spans = [span for request in requests for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert [span["spanId"] for span in spans] == [f"{i:016x}" for i in range(1, 1001)]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_the_inbox_is_bounded(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    inbox = Inbox(reading, limit=1000)
    inbox.start()
    os.set_blocking(writing, False)

    def full() -> bool:
        try:
            os.write(writing, bytes(4096))
        except BlockingIOError:
            return True
        return False

    until(full, lambda: "the pipe fills")
    taken = len(inbox.take(None))
    assert taken >= 1000
    os.close(writing)
    while not inbox.exhausted:
        taken += len(inbox.take(None))
    assert inbox.take(None) == b""
    assert taken % 4096 == 0


def test_the_inbox_waits_no_longer_than_asked(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    inbox = Inbox(reading)
    inbox.start()
    assert inbox.take(0.01) == b""
    os.write(writing, b"abc")
    assert inbox.take(None) == b"abc"
    os.close(writing)
    assert inbox.take(None) == b""
    assert inbox.exhausted
