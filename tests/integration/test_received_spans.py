"""What arrives at the collector: the attributes of every kind of exchange, failures, secrets, protocols, files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import TARGETS, Collector, Rbinder, Span, exchange, free_port
from peers import half_a_head, half_a_response, peer, reset

PARENT = "b7ad6b7169203331"
SECRET = "hush"  # every secret that these tests send has it inside; no span may


@pytest.fixture(scope="module")
def server(module_rbinder: Rbinder) -> int:
    """The port of a server under rbinder, whose service name is derived from its command."""
    port = free_port()
    module_rbinder.start(sys.executable, str(TARGETS / "answers.py"), str(port), port=port)
    return port


def ask(port: int, trace_id: str, line: str, *headers: str, body: bytes = b"") -> bytes:
    """Send one request of the given request line on a connection of its own, in the given trace."""
    traceparent = f"traceparent: 00-{trace_id}-{PARENT}-01"
    lines = [f"{line} HTTP/1.1", f"Host: shop.example:{port}", "Connection: close", traceparent, *headers, "", ""]
    return exchange(port, "\r\n".join(lines).encode() + body)


def server_span(port: int, trace_id: str, collector: Collector, line: str, *headers: str, body: bytes = b"") -> Span:
    """The one span of a request to the server."""
    answer = ask(port, trace_id, line, *headers, body=body)
    assert answer.startswith(b"HTTP/1.1 "), answer
    (span,) = collector.trace(trace_id, 1)
    assert (span["kind"], span["parentSpanId"]) == ("SERVER", PARENT)
    return span


def client_span(rbinder: Rbinder, collector: Collector, *arguments: str, status: int = 0, **options: Any) -> Span:
    """The one span of a curl under rbinder, whose exit status is also checked."""
    done = rbinder.run("curl", "--silent", *arguments, **options)
    assert (done.status, done.remarks) == (status, [])
    (span,) = collector.spans(1)
    assert (span["kind"], span["parentSpanId"]) == ("CLIENT", "")
    return span


def is_error(span: Span) -> bool:
    return span["status"]["code"] in (2, "ERROR", "STATUS_CODE_ERROR")


def test_a_server_span_carries_every_attribute(server: int, trace_id: str, collector: Collector) -> None:
    span = server_span(server, trace_id, collector, "GET /cart/7?id=3", "User-Agent: test/1")
    attributes = span["attributes"]
    peer_port = attributes.pop("network.peer.port")
    assert isinstance(peer_port, int)
    assert peer_port > 0
    expected = {
        "http.request.method": "GET",
        "url.path": "/cart/7",
        "url.query": "id=3",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "server.address": "shop.example",
        "server.port": server,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "test/1",
    }
    assert {name: attributes.get(name) for name in expected} == expected
    assert "error.type" not in attributes
    assert (span["name"], is_error(span), span["service"]) == ("GET", False, "answers")
    assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


def test_a_client_span_carries_every_attribute(rbinder: Rbinder, collector: Collector, server: int) -> None:
    done = rbinder.run("curl", "--silent", f"http://127.0.0.1:{server}/cart/7?id=3")
    assert (done.status, done.stdout) == (0, "answer\n")
    client, span = sorted(collector.spans(2), key=lambda span: str(span["kind"]))
    assert span["parentSpanId"] == client["spanId"]
    expected = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server,
        "url.full": f"http://127.0.0.1:{server}/cart/7?id=3",
        "http.response.status_code": 200,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": server,
        "network.protocol.version": "1.1",
    }
    assert {name: client["attributes"].get(name) for name in expected} == expected
    assert (client["name"], client["service"], is_error(client)) == ("GET", "curl", False)


def test_the_resource_says_what_ran(server: int, trace_id: str, collector: Collector) -> None:
    resource = server_span(server, trace_id, collector, "GET /")["resource"]
    assert resource["service.name"] == "answers"
    assert {"process.pid", "process.executable.name", "host.name"} <= set(resource)
    assert {"telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"} <= set(resource)
    assert resource["telemetry.distro.name"] == "rbinder"
    assert resource["telemetry.distro.version"]


NAMES: list[tuple[dict[str, str], list[str], str]] = [
    ({"OTEL_SERVICE_NAME": "shop"}, [], "shop"),
    ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=kiosk,deployment.environment.name=test"}, [], "kiosk"),
    ({"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "service.name=kiosk"}, [], "shop"),
    ({"OTEL_SERVICE_NAME": "shop"}, ["-s", "stall"], "stall"),
]


@pytest.mark.parametrize(("environment", "options", "name"), NAMES)
def test_the_service_name_can_be_chosen(
    environment: dict[str, str], options: list[str], name: str, rbinder: Rbinder, collector: Collector
) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    span = client_span(rbinder, collector, url, status=7, environment=environment, options=options)
    assert span["service"] == name
    if "deployment" in str(environment):
        assert span["resource"]["deployment.environment.name"] == "test"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_both_protocols_arrive(protocol: str, rbinder: Rbinder, collector: Collector, server: int) -> None:
    chosen = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint(protocol)}
    done = rbinder.run("curl", "--silent", f"http://127.0.0.1:{server}/", environment=chosen)
    assert (done.status, done.remarks) == (0, [])
    assert {span["service"] for span in collector.spans(2)} == {"curl", "answers"}


@pytest.mark.parametrize(("status", "server_error"), [(404, False), (500, True), (503, True)])
def test_a_bad_status(status: int, server_error: bool, rbinder: Rbinder, collector: Collector, server: int) -> None:
    rbinder.run("curl", "--silent", f"http://127.0.0.1:{server}/status/{status}")
    client, answering = sorted(collector.spans(2), key=lambda span: str(span["kind"]))
    for span, error in ((client, True), (answering, server_error)):
        assert span["attributes"]["http.response.status_code"] == status
        assert is_error(span) == error
        assert span["attributes"].get("error.type") == (str(status) if error else None)


def test_an_unknown_method_has_no_name_of_its_own(server: int, trace_id: str, collector: Collector) -> None:
    span = server_span(server, trace_id, collector, "BREW /pot")
    assert span["name"] == "HTTP"
    assert span["attributes"]["http.request.method"] == "_OTHER"
    assert span["attributes"]["http.request.method_original"] == "BREW"


BODIES: list[tuple[str, bytes]] = [
    ("Content-Length: 31", b"GET /not-a-request HTTP/1.1\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"1f\r\nGET /not-a-request HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize(("framing", "body"), BODIES)
def test_a_body_is_no_request(framing: str, body: bytes, server: int, trace_id: str, collector: Collector) -> None:
    span = server_span(server, trace_id, collector, "POST /echo", framing, body=body)
    assert (span["name"], span["attributes"]["http.response.status_code"]) == ("POST", 200)


def test_head_has_no_body_to_wait_for(server: int, trace_id: str, collector: Collector) -> None:
    both = [f"HEAD /{number} HTTP/1.1\r\nHost: test\r\ntraceparent: 00-{trace_id}-{PARENT}-01\r\n" for number in (1, 2)]
    exchange(server, f"{both[0]}\r\n{both[1]}Connection: close\r\n\r\n".encode())
    spans = collector.trace(trace_id, 2)
    assert {span["attributes"]["url.path"] for span in spans} == {"/1", "/2"}
    assert {span["name"] for span in spans} == {"HEAD"}


def test_a_refused_connection_is_a_failed_span(rbinder: Rbinder, collector: Collector) -> None:
    port = free_port()
    span = client_span(rbinder, collector, f"http://127.0.0.1:{port}/", status=7)
    assert is_error(span)
    assert span["attributes"]["error.type"]
    assert (span["attributes"]["server.port"], span["attributes"]["network.peer.address"]) == (port, "127.0.0.1")


FAILURES: list[tuple[Callable[[Any], None], int]] = [(reset, 56), (half_a_response, 18), (half_a_head, 0)]


@pytest.mark.parametrize(("behaviour", "curl_status"), FAILURES)
def test_a_broken_answer_is_a_failed_span(
    behaviour: Callable[[Any], None], curl_status: int, rbinder: Rbinder, collector: Collector
) -> None:
    with peer(behaviour) as port:
        span = client_span(rbinder, collector, f"http://127.0.0.1:{port}/", status=curl_status)
    assert is_error(span)
    assert span["attributes"]["error.type"]


def test_secrets_never_leave(rbinder: Rbinder, collector: Collector, server: int, tmp_path: Path) -> None:
    query = f"id=1&sig={SECRET}-1&Signature={SECRET}-2&X-Goog-Signature={SECRET}-3&AWSAccessKeyId={SECRET}-4"
    headers = [f"Authorization: Bearer {SECRET}-5", f"Cookie: sid={SECRET}-6", f"X-Api-Key: {SECRET}-7"]
    options = [word for header in headers for word in ("-H", header)]
    file = tmp_path / "spans.jsonl"
    url = f"http://user:{SECRET}-8@127.0.0.1:{server}/?{query}"
    everywhere = ["-x", "otlp,console", "-o", str(file)]
    done = rbinder.run("curl", "-s", *options, "-d", f"{SECRET}-9", url, options=everywhere)
    assert done.status == 0
    spans = collector.spans(2)
    assert SECRET not in json.dumps(spans)
    assert SECRET not in file.read_text() + done.stderr
    shown = [span["attributes"].get("url.query") or span["attributes"]["url.full"] for span in spans]
    assert ["id=1" in query for query in shown] == [True, True]


def test_o_writes_otlp_json_lines(rbinder: Rbinder, server: int, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    done = rbinder.run("curl", "-s", f"http://127.0.0.1:{server}/", options=["-x", "file", "-o", str(file)])
    assert (done.status, done.stdout, done.stderr) == (0, "answer\n", "")
    (line,) = file.read_text().splitlines()
    (resource_spans,) = json.loads(line)["resourceSpans"]
    names = {item["key"]: item["value"] for item in resource_spans["resource"]["attributes"]}
    assert names["service.name"] == {"stringValue": "curl"}
    (span,) = resource_spans["scopeSpans"][0]["spans"]
    assert len(span["traceId"]) == 32
    assert len(span["spanId"]) == 16
    assert (span["name"], span["kind"]) == ("GET", 3)


def test_the_console_shows_a_line_for_each_span(rbinder: Rbinder, server: int) -> None:
    done = rbinder.run("curl", "-s", f"http://127.0.0.1:{server}/cart/7", options=["-x", "console"])
    assert (done.status, done.stdout) == (0, "answer\n")
    (line,) = [line for line in done.stderr.splitlines() if "/cart/7" in line]
    assert all(part in line for part in ("GET", "200", "curl"))
    assert "\033" not in done.stderr
