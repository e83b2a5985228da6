"""Exporters: OTLP by both protocols to a real receiver and to none, files, and what they say when it fails."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from harness import Collector, free_port
from made import Surrounded, make_spans, offer
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from traffic import Traffic, number

from rbinder.exporters import FACTORIES
from rbinder.exporters.file import FileDelivery
from rbinder.exporters.otlp import phrase, timeout
from rbinder.exporters.otlp_json import encode
from rbinder.records import Side

IMPATIENT = 5.0  # seconds within which anything here has long ended

Point = Callable[[str, str], None]


def test_the_timeout_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TIMEOUT", raising=False)
    assert timeout() == 10.0
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")
    assert timeout() == 2.5
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500")
    assert timeout() == 1.5
    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "500")
    assert timeout() == 0.5


PROTOCOLS = ["http/protobuf", "grpc"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_otlp_arrives(
    protocol: str, collector: Collector, spans: list[ReadableSpan], surrounded: Surrounded, point: Point
) -> None:
    point(collector.endpoint(protocol), protocol)
    exporter = surrounded.make("otlp")
    offer(exporter, spans)
    exporter.close(time.monotonic() + IMPATIENT)
    assert (exporter.lost, exporter.reason, surrounded.said()) == (0, "", "")
    received = collector.received()
    assert {span["spanId"] for span in received} == {f"{i:016x}" for i in range(1, 41)}
    assert {span["protocol"] for span in received} == {protocol.partition("/")[0]}
    span = received[0]
    assert (span["name"], span["kind"], span["service"], span["scope"]) == ("GET", "SERVER", "shop", "rbinder")
    assert span["attributes"]["http.response.status_code"] == 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_refused_connection_ends_quickly(
    protocol: str, spans: list[ReadableSpan], surrounded: Surrounded, point: Point
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    point(endpoint, protocol)
    exporter = surrounded.make("otlp")
    offer(exporter, spans)
    started = time.monotonic()
    exporter.close(started + 30)
    assert time.monotonic() - started < IMPATIENT
    assert exporter.lost == 40
    assert endpoint in exporter.reason
    assert "connection refused" in exporter.reason
    assert surrounded.said() == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_waiting_between_attempts_is_cut_short(
    protocol: str, spans: list[ReadableSpan], surrounded: Surrounded, point: Point
) -> None:
    point(f"http://127.0.0.1:{free_port()}", protocol)
    exporter = surrounded.make("otlp")
    offer(exporter, spans)
    exporter.kick()
    started = time.monotonic()
    exporter.close(started + 30)
    assert time.monotonic() - started < IMPATIENT
    assert exporter.lost == 40


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_endpoint_that_never_answers_is_left(
    protocol: str, spans: list[ReadableSpan], surrounded: Surrounded, point: Point
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point(f"http://127.0.0.1:{silent.getsockname()[1]}", protocol)
        exporter = surrounded.make("otlp")
        offer(exporter, spans)
        started = time.monotonic()
        exporter.close(started + 0.3)
        assert time.monotonic() - started < 2.0
    assert exporter.lost == 40
    assert "in time" in exporter.reason


def test_a_wrong_path_is_told_with_its_status(
    collector: Collector, spans: list[ReadableSpan], surrounded: Surrounded, point: Point
) -> None:
    point(f"{collector.endpoint()}/wrong", "http/protobuf")
    exporter = surrounded.make("otlp")
    offer(exporter, spans)
    exporter.close(time.monotonic() + IMPATIENT)
    assert (exporter.lost, "HTTP 404" in exporter.reason) == (40, True)


def test_an_endpoint_that_is_no_url(surrounded: Surrounded, point: Point) -> None:
    point("localhost:4318", "http/protobuf")
    with pytest.raises(ValueError, match="http://"):
        surrounded.make("otlp")


MESSAGES = [
    ("Failed to export spans batch code: 503, reason: Service Unavailable", "HTTP 503 Service Unavailable"),
    ("Transient error Bad Gateway encountered while exporting spans batch, retrying in 1.0s.", "bad gateway"),
    ("Failed to export traces to h:1, error code: StatusCode.UNIMPLEMENTED, error details: x", "unimplemented"),
    ("Failed to export spans batch due to timeout, max retries or shutdown.", "no answer in time"),
    ("Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')))",
     "its certificate can't be verified"),
    ("something else entirely", "the export failed"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "words"), MESSAGES)
def test_causes_in_a_few_words(message: str, words: str) -> None:
    assert phrase(message) == words


def test_every_exporter_can_be_made(surrounded: Surrounded, point: Point, tmp_path: Path) -> None:
    point("http://127.0.0.1:4318", "http/protobuf")
    for name in FACTORIES:
        surrounded.make(name, str(tmp_path / "spans")).close(time.monotonic() + IMPATIENT)
    with pytest.raises(KeyError):
        surrounded.make("pigeon")


def test_lines_of_the_file_are_otlp_json(spans: list[ReadableSpan], surrounded: Surrounded, tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text("before\n")
    exporter = surrounded.make("file", str(path))
    offer(exporter, spans)
    exporter.close(time.monotonic() + IMPATIENT)
    before, line = path.read_text().splitlines()
    assert (before, exporter.lost) == ("before", 0)
    (group,) = json.loads(line)["resourceSpans"]
    assert [span["spanId"] for span in group["scopeSpans"][0]["spans"]] == [f"{i:016x}" for i in range(1, 41)]


def test_otlp_json_says_what_protobuf_says() -> None:
    traffic = Traffic()
    client = traffic.request(number(2), side=Side.CLIENT, parent=number(1), state="a=b")
    made = make_spans(
        traffic.process("/bin/\udcff"), *traffic.whole(number(1)), client, traffic.failed(number(2), "timeout")
    )
    ours = encode(made)["resourceSpans"]
    theirs = MessageToDict(encode_spans(made), use_integers_for_enums=True)["resourceSpans"]
    assert ours[0]["resource"] == theirs[0]["resource"]
    mapped = zip(ours[0]["scopeSpans"][0]["spans"], theirs[0]["scopeSpans"][0]["spans"], strict=True)
    for our, their in mapped:
        for key in ("traceId", "spanId", "parentSpanId", "flags"):  # base64 there; trace flags are left out there
            our.pop(key, None)
            their.pop(key, None)
        assert our == their


def test_a_full_disk_leaves_no_part_of_a_line(surrounded: Surrounded, spans: list[ReadableSpan]) -> None:
    exporter = surrounded.make("file", "/dev/full")
    offer(exporter, spans)
    exporter.close(time.monotonic() + IMPATIENT)
    assert (exporter.lost, exporter.reason) == (40, "/dev/full: No space left on device")


def test_a_short_write_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, surrounded: Surrounded, spans: list[ReadableSpan], tmp_path: Path
) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text("before\n")
    delivery = FileDelivery(str(path), surrounded.stderr)
    write, left = os.write, [100, 0]

    def short(descriptor: int, data: bytes) -> int:
        room = left.pop(0)
        if not room:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:room])

    monkeypatch.setattr(os, "write", short)
    assert not delivery.export(spans)
    monkeypatch.undo()
    delivery.close()
    assert path.read_text() == "before\n"


def test_a_file_that_cannot_be_opened(surrounded: Surrounded, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        surrounded.make("file", str(tmp_path / "none" / "spans"))
    with pytest.raises(ValueError, match="-o FILE"):
        surrounded.make("file")
