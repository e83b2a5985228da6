"""Front and back programs, each under an rbinder of its own: every request is one trace with the right parents.

The client of these tests gives each request a trace of its own, so that any mix-up between requests shows.
"""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from harness import DEADLINE, TARGETS, Collector, Rbinder, Span, filled, free_port, system_program

Build = Callable[..., Path]
SEQUENTIAL = 40
CONNECTIONS, PER_CONNECTION = 8, 25


@dataclass
class Request:
    """One request of the client and what the back saw of it."""

    number: int
    trace: str  # the client's trace id
    parent: str  # the client's span id
    seen: list[str]  # every traceparent that arrived at the back


@dataclass
class Pair:
    port: int
    collector: Collector


def python(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(TARGETS / name), *arguments]


def gunicorn(port: int, *options: str) -> list[str]:
    place = ["--bind", f"127.0.0.1:{port}", "--chdir", str(TARGETS)]
    return [sys.executable, "-m", "gunicorn", *place, *options, "front_flask:app"]


def nginx(port: int, back: int, workers: int, directory: Path) -> list[str]:
    directory.mkdir(parents=True)
    out = filled("nginx.conf.in", directory / "nginx.conf", WORKERS=workers, PORT=port, BACK_PORT=back)
    return [system_program("nginx"), "-p", str(directory), "-c", str(out), "-e", "stderr"]


def apache(port: int, back: int, directory: Path) -> list[str]:
    directory.mkdir(parents=True)
    values = {"PORT": port, "BACK_PORT": back, "DIRECTORY": directory, "MODULES": "/usr/lib/apache2/modules"}
    out = filled("apache.conf.in", directory / "httpd.conf", **values)
    return [system_program("apache2"), "-f", str(out), "-DFOREGROUND"]


def front_command(name: str, port: int, back: int, build: Build, directory: Path) -> list[str]:
    """The command of a front by its name in FRONTS. Programs that take no port get BACK_PORT in their environment."""
    ports = [str(port), str(back)]
    java = "-Dsun.net.httpserver.nodelay=true"  # else head and body wait for a delayed acknowledgement: 40 ms
    commands: dict[str, Callable[[], list[str]]] = {
        "http.server": lambda: python("front_requests.py", *ports),
        "gunicorn-sync": lambda: gunicorn(port, "--workers", "2"),
        "gunicorn-gthread": lambda: gunicorn(port, "--worker-class", "gthread", "--threads", "8"),
        "node": lambda: ["node", str(TARGETS / "front.js"), *ports],
        "java": lambda: ["java", java, "-cp", str(build("Front.java").parent), "Front", *ports],
        "webrick": lambda: ["ruby", str(TARGETS / "front.rb"), *ports],
        "php": lambda: ["php", "-S", f"127.0.0.1:{port}", str(TARGETS / "front.php")],
        "nginx-1": lambda: nginx(port, back, 1, directory),
        "nginx-2": lambda: nginx(port, back, 2, directory),
        "apache": lambda: apache(port, back, directory),
        "asyncio": lambda: python("front_asyncio.py", *ports),
        "uvloop": lambda: python("front_asyncio.py", *ports, "uvloop"),
        "java.net.http": lambda: ["java", java, "-cp", str(build("FrontClient.java").parent), "FrontClient", *ports],
        "rust": lambda: [str(build("front.rs")), *ports],
        "musl": lambda: [str(build("front.c", "musl-gcc")), *ports],
        "c": lambda: [str(build("front.c")), *ports],
        "puma": lambda: ["puma", "-b", f"tcp://127.0.0.1:{port}", "-t", "8:8", str(TARGETS / "puma_front.ru")],
    }
    return commands[name]()


def back_command(name: str, port: int, build: Build) -> list[str]:
    if name == "c":
        return [str(build("back.c")), str(port)]
    if name == "go":
        return [str(build("go_back.go")), "serve", str(port)]
    return python("back.py", str(port))


FRONTS = [
    ("http.server", "python"),
    ("gunicorn-sync", "python"),
    ("gunicorn-gthread", "c"),
    ("node", "python"),
    ("java", "c"),
    ("webrick", "python"),
    ("php", "c"),
    ("nginx-1", "python"),
    ("nginx-2", "c"),
    ("c", "c"),
    ("c", "go"),
    ("musl", "c"),
    ("rust", "c"),
]

# Fronts that hand a request from thread to thread, or serve many on one: what they do at once can't all be proven.
HANDING_OVER = ["apache", "asyncio", "uvloop", "java.net.http"]


# A Go program makes its calls without the C library, unseen by the agent: let auto choose.
OPTIONS = {"go": ["-e", "auto"]}


def start_pair(front: str, back: str, rbinder: Rbinder, build: Build) -> Pair:
    port, back_port = free_port(), free_port()
    options, environment = OPTIONS.get(back, []), {"OTEL_SERVICE_NAME": "back"}
    rbinder.start(*back_command(back, back_port, build), options=options, environment=environment, port=back_port)
    command = front_command(front, port, back_port, build, rbinder.directory / "front")
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} isn't installed")
    environment = {"BACK_PORT": str(back_port), "XDG_RUNTIME_DIR": str(rbinder.directory)}
    rbinder.start(*command, environment={"OTEL_SERVICE_NAME": "front", **environment}, port=port)
    return Pair(port, rbinder.collector)


@pytest.fixture(scope="module", params=FRONTS, ids="-".join)
def pair(
    request: pytest.FixtureRequest,
    engine: str,
    one_collector: Collector,
    build: Build,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    rbinder = Rbinder(engine, one_collector, tmp_path_factory.mktemp("pair"))
    front, back = request.param
    try:
        yield start_pair(front, back, rbinder, build)
    finally:
        rbinder.close()


def call(connection: http.client.HTTPConnection, run: str, number: int) -> Request:
    """Send request `number` in a trace of its own, and read what the back saw of it out of the answer."""
    trace, parent = f"{run}{number:016x}", f"{number:016x}"
    connection.request("GET", f"/work?id={number}", headers={"traceparent": f"00-{trace}-{parent}-01"})
    response = connection.getresponse()
    text = response.read()
    assert response.status == 200, text
    answer = json.loads(text)
    assert answer["id"] == str(number)
    seen = [value for name, value in answer["headers"] if name.lower() == "traceparent"]
    return Request(number, trace, parent, seen)


def call_in_sequence(port: int, run: str, numbers: range) -> list[Request]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        return [call(connection, run, number) for number in numbers]
    finally:
        connection.close()


def call_at_once(port: int, run: str) -> list[Request]:
    """CONNECTIONS clients at the same time, PER_CONNECTION requests each, kept alive where the front does so."""
    ranges = [range(1 + i * PER_CONNECTION, 1 + (i + 1) * PER_CONNECTION) for i in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        done = pool.map(lambda numbers: call_in_sequence(port, run, numbers), ranges)
        return [request for requests in done for request in requests]


def query_of(span: Span) -> str:
    attributes = span["attributes"]
    return str(attributes["url.query"]) if span["kind"] == "SERVER" else urlsplit(attributes["url.full"]).query


def check_trace(request: Request, spans: list[Span]) -> None:
    """One request is three spans in a row, under the client's own, and the wire says what the spans say."""
    by_place = {(span["service"], span["kind"]): span for span in spans}
    assert len(spans) == len(by_place) == 3, spans
    server, client, leaf = by_place["front", "SERVER"], by_place["front", "CLIENT"], by_place["back", "SERVER"]
    assert server["parentSpanId"] == request.parent
    assert client["parentSpanId"] == server["spanId"]
    assert leaf["parentSpanId"] == client["spanId"]
    assert request.seen == [f"00-{request.trace}-{client['spanId']}-01"]
    assert {query_of(span) for span in spans} == {f"id={request.number}"}


def check_all(pair: Pair, run: str, requests: list[Request]) -> None:
    wrong = [request for request in requests if [seen[3:35] for seen in request.seen] != [request.trace]]
    assert not wrong, f"{len(wrong)} of {len(requests)} calls left with another trace id or none: {wrong[:3]}"
    traces = defaultdict(list)
    for span in pair.collector.spans(3 * len(requests), lambda span: span["traceId"].startswith(run)):
        traces[span["traceId"]].append(span)
    assert len(traces) == len(requests)
    for request in requests:
        check_trace(request, traces[request.trace])


def test_requests_in_sequence(pair: Pair) -> None:
    run = secrets.token_hex(8)
    check_all(pair, run, call_in_sequence(pair.port, run, range(1, SEQUENTIAL + 1)))


def test_requests_at_once(pair: Pair) -> None:
    run = secrets.token_hex(8)
    check_all(pair, run, call_at_once(pair.port, run))


@pytest.mark.parametrize("front", HANDING_OVER)
def test_requests_in_sequence_through_fronts_that_hand_over(front: str, rbinder: Rbinder, build: Build) -> None:
    pair = start_pair(front, "c", rbinder, build)
    run = secrets.token_hex(8)
    requests = call_in_sequence(pair.port, run, range(1, SEQUENTIAL + 1))
    joined = [request for request in requests if request.seen[0][3:35].startswith(run)]
    assert [request for request in joined if request.seen[0][3:35] != request.trace] == []
    if front != "java.net.http":  # its client's own threads make the calls: nothing proves for whom
        assert len(joined) == len(requests)


def test_requests_handed_to_another_thread_get_no_wrong_parent(rbinder: Rbinder, build: Build) -> None:
    """puma's reactor may read what another thread answers: such a call may start a trace, never join a wrong one."""
    pair = start_pair("puma", "c", rbinder, build)
    run = secrets.token_hex(8)
    requests = call_at_once(pair.port, run)
    joined = [request for request in requests if request.seen[0][3:35].startswith(run)]
    assert [request for request in joined if request.seen[0][3:35] != request.trace] == []
    assert len(joined) >= 0.9 * len(requests)


def json_values(text: str) -> Iterator[dict[str, str]]:
    """The JSON values that follow each other in a text."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:]


def clients(name: str, port: int, count: int, build: Build) -> list[str]:
    url = f"http://127.0.0.1:{port}/leaf"
    if name == "go":
        return [str(build("go_back.go")), "get", url, str(count)]
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "8"] if name == "curl-parallel" else []
    return ["curl", "--silent", "--show-error", *parallel, f"{url}?id=[1-{count}]"]


@pytest.mark.parametrize("name", ["curl", "curl-parallel", "go"])
def test_a_client_starts_a_trace_for_each_request(
    name: str, rbinder: Rbinder, collector: Collector, build: Build
) -> None:
    port, count = free_port(), 100 if name == "curl-parallel" else SEQUENTIAL
    rbinder.start(*back_command("python", port, build), environment={"OTEL_SERVICE_NAME": "back"}, port=port)
    options, environment = OPTIONS.get(name, []), {"OTEL_SERVICE_NAME": "front"}
    done = rbinder.run(*clients(name, port, count, build), options=options, environment=environment)
    assert done.status == 0, done
    assert {answer["id"] for answer in json_values(done.stdout)} == {str(number) for number in range(1, count + 1)}
    traces = defaultdict(list)
    for span in collector.spans(2 * count):
        traces[span["traceId"]].append(span)
    assert len(traces) == count
    for spans in traces.values():
        client, server = sorted(spans, key=lambda span: str(span["kind"]))
        assert (client["service"], client["kind"], client["parentSpanId"]) == ("front", "CLIENT", "")
        assert (server["service"], server["kind"], server["parentSpanId"]) == ("back", "SERVER", client["spanId"])
        assert query_of(client) == query_of(server)
