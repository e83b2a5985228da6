"""W3C Trace Context level 2 through an uninstrumented Flask service: what goes in, and what its calls carry.

The cases are those of the W3C's own test suite (github.com/w3c/trace-context, test/test.py, STRICT_LEVEL 2), as a
table. KEPT: the calls belong to the trace that came in; NEW: they belong to one made up for them.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import TARGETS, Rbinder, exchange, free_port

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
KEPT, NEW = True, False

KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
FIVE = ["foo=1", "bar=2", "rojo=1", "congo=2", "baz=3"]
MEMBERS = [f"bar{number:02}={number:02}" for number in range(1, 34)]

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Received:
    """What one call carried. `state` is the members of all its tracestate headers, in order."""

    trace: str
    parent: str
    flags: str
    state: list[str]


def parents(*values: str) -> Headers:
    return [("traceparent", value) for value in values]


def states(*values: str, parent: str = UNSAMPLED) -> Headers:
    return [("traceparent", parent), *(("tracestate", value) for value in values)]


TRACEPARENT_CASES: list[tuple[str, Headers, bool]] = [
    ("nothing", [], NEW),
    ("alone", parents(SAMPLED), KEPT),
    ("twice", parents(f"00-{TRACE[:-1]}1-{PARENT}-01", SAMPLED), NEW),
    ("twice the same", parents(SAMPLED, SAMPLED), NEW),
    ("name with a hyphen", [("trace-parent", SAMPLED)], NEW),
    ("name with a dot", [("trace.parent", SAMPLED)], NEW),
    ("name in title case", [("TraceParent", SAMPLED)], KEPT),
    ("name in mixed case", [("TrAcEpArEnT", SAMPLED)], KEPT),
    ("name in upper case", [("TRACEPARENT", SAMPLED)], KEPT),
    ("version 00 and a dot", parents(f"{SAMPLED}."), NEW),
    ("version 00 and more", parents(f"{SAMPLED}-what-the-future-will-be-like"), NEW),
    ("version cc", parents(f"cc{SAMPLED[2:]}"), KEPT),
    ("version cc and more", parents(f"cc{SAMPLED[2:]}-what-the-future-will-be-like"), KEPT),
    ("version cc, more after a dot", parents(f"cc{SAMPLED[2:]}.what-the-future-will-be-like"), NEW),
    ("version ff", parents(f"ff{SAMPLED[2:]}"), NEW),
    ("version .0", parents(f".0{SAMPLED[2:]}"), NEW),
    ("version 0.", parents(f"0.{SAMPLED[2:]}"), NEW),
    ("version 000", parents(f"0{SAMPLED}"), NEW),
    ("version 0000", parents(f"00{SAMPLED}"), NEW),
    ("version 0", parents(SAMPLED[1:]), NEW),
    ("version in upper case", parents(f"CC{SAMPLED[2:]}"), NEW),
    ("trace id of zeros", parents(f"00-{'0' * 32}-{PARENT}-01"), NEW),
    ("trace id begins with a dot", parents(f"00-.{TRACE[1:]}-{PARENT}-01"), NEW),
    ("trace id ends with a dot", parents(f"00-{TRACE[:-1]}.-{PARENT}-01"), NEW),
    ("trace id in upper case", parents(f"00-{'ABCDEF' + TRACE[6:]}-{PARENT}-01"), NEW),
    ("trace id too long", parents(f"00-{TRACE}3-{PARENT}-01"), NEW),
    ("trace id too short", parents(f"00-{TRACE[:-1]}-{PARENT}-01"), NEW),
    ("parent id of zeros", parents(f"00-{TRACE}-{'0' * 16}-01"), NEW),
    ("parent id begins with a dot", parents(f"00-{TRACE}-.{PARENT[1:]}-01"), NEW),
    ("parent id ends with a dot", parents(f"00-{TRACE}-{PARENT[:-1]}.-01"), NEW),
    ("parent id in upper case", parents(f"00-{TRACE}-{'ABCDEF' + PARENT[6:]}-01"), NEW),
    ("parent id too long", parents(f"00-{TRACE}-{PARENT}7-01"), NEW),
    ("parent id too short", parents(f"00-{TRACE}-{PARENT[:-1]}-01"), NEW),
    ("flags .0", parents(f"00-{TRACE}-{PARENT}-.0"), NEW),
    ("flags 0.", parents(f"00-{TRACE}-{PARENT}-0."), NEW),
    ("flags 001", parents(f"00-{TRACE}-{PARENT}-001"), NEW),
    ("flags 1", parents(f"00-{TRACE}-{PARENT}-1"), NEW),
    ("a space before", parents(f" {SAMPLED}"), KEPT),
    ("a tab before", parents(f"\t{SAMPLED}"), KEPT),
    ("a space after", parents(f"{SAMPLED} "), KEPT),
    ("a tab after", parents(f"{SAMPLED}\t"), KEPT),
    ("white space around", parents(f"\t {SAMPLED} \t"), KEPT),
    ("empty", parents(""), NEW),
]

# The members of tracestate that go out; the trace is always the one that came in.
TRACESTATE_CASES: list[tuple[str, Headers, list[str]]] = [
    ("two members", states("foo=1,bar=2"), ["foo=1", "bar=2"]),
    ("sampled", states("foo=1,bar=2", parent=SAMPLED), ["foo=1", "bar=2"]),
    ("name with a hyphen", [("traceparent", UNSAMPLED), ("trace-state", "foo=1")], []),
    ("name with a dot", [("traceparent", UNSAMPLED), ("trace.state", "foo=1")], []),
    ("name in title case", [("traceparent", UNSAMPLED), ("TraceState", "foo=1")], ["foo=1"]),
    ("name in mixed case", [("traceparent", UNSAMPLED), ("TrAcEsTaTe", "foo=1")], ["foo=1"]),
    ("name in upper case", [("traceparent", UNSAMPLED), ("TRACESTATE", "foo=1")], ["foo=1"]),
    ("before its traceparent", [("tracestate", "foo=1"), ("traceparent", UNSAMPLED)], ["foo=1"]),
    ("empty", states(""), []),
    ("empty after another", states("foo=1", ""), ["foo=1"]),
    ("empty before another", states("", "foo=1"), ["foo=1"]),
    ("three headers", states("foo=1,bar=2", "rojo=1,congo=2", "baz=3"), FIVE),
    ("same member twice", states("foo=1,foo=1"), []),
    ("same key twice", states("foo=1,foo=2"), []),
    ("same member in two headers", states("foo=1", "foo=1"), []),
    ("same key in two headers", states("foo=1", "foo=2"), []),
    ("every character", states(f"{KEY}={VALUE}"), [f"{KEY}={VALUE}"]),
    ("every character and a vendor", states(f"{KEY}@a-z0-9_-*/={VALUE}"), [f"{KEY}@a-z0-9_-*/={VALUE}"]),
    ("spaces and tabs between", states("foo=1 \t , \t bar=2, \t baz=3"), ["foo=1", "bar=2", "baz=3"]),
    ("tabs and spaces between", states("foo=1\t \t,\t \tbar=2,\t \tbaz=3"), ["foo=1", "bar=2", "baz=3"]),
    ("a space before", states(" foo=1"), ["foo=1"]),
    ("a tab before", states("\tfoo=1"), ["foo=1"]),
    ("a space after", states("foo=1 "), ["foo=1"]),
    ("a tab after", states("foo=1\t"), ["foo=1"]),
    ("white space around", states("\t foo=1 \t"), ["foo=1"]),
    ("key with a space", states("foo =1"), []),
    ("key in upper case", states("FOO=1"), []),
    ("key with a dot", states("foo.bar=1"), []),
    ("vendor empty", states("foo@=1,bar=2"), []),
    ("tenant empty", states("@foo=1,bar=2"), []),
    ("two at signs together", states("foo@@bar=1,bar=2"), []),
    ("two at signs", states("foo@bar@baz=1,bar=2"), []),
    ("32 members", states(*(",".join(MEMBERS[i : min(i + 10, 32)]) for i in (0, 10, 20, 30))), MEMBERS[:32]),
    ("33 members", states(*(",".join(MEMBERS[i : i + 10]) for i in (0, 10, 20, 30))), []),
    ("key of 256", states("foo=1", f"{'z' * 256}=1"), ["foo=1", f"{'z' * 256}=1"]),
    ("key of 257", states("foo=1", f"{'z' * 257}=1"), []),
    ("tenant of 241", states("foo=1", f"{'t' * 241}@{'v' * 14}=1"), ["foo=1", f"{'t' * 241}@{'v' * 14}=1"]),
    ("tenant of 242", states("foo=1", f"{'t' * 242}@v=1"), []),
    ("vendor of 15", states("foo=1", f"t@{'v' * 15}=1"), []),
    ("value with an equals sign", states("foo=bar=baz"), []),
    ("value empty", states("foo=,bar=3"), []),
]


class Harness:
    """Sends requests to the service and takes the calls that it makes."""

    def __init__(self, service: int) -> None:
        self._service = service
        self._calls: list[Headers] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        calls = self._calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                calls.append(self.headers.items())
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def send(self, headers: Headers, count: int = 1) -> list[Received]:
        """Have the service make `count` calls, and return what they carried."""
        self._calls.clear()
        url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        body = json.dumps([{"url": f"{url}{number}", "arguments": []} for number in range(count)])
        fixed = ["POST /test HTTP/1.1", "Host: test", "Connection: close", "Content-Type: application/json"]
        lines = [*fixed, f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers), "", body]
        answer = exchange(self._service, "\r\n".join(lines).encode())
        assert answer.partition(b"\r\n")[0].split()[1] == b"200", answer
        assert len(self._calls) == count
        return [received(call) for call in self._calls]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def received(headers: Headers) -> Received:
    """Parse strictly what a call carried: exactly one valid traceparent of version 00."""
    traceparents = [value for name, value in headers if name.lower() == "traceparent"]
    assert len(traceparents) == 1, traceparents
    match = FORMAT.fullmatch(traceparents[0])
    assert match, traceparents
    lists = [value for name, value in headers if name.lower() == "tracestate"]
    members = [member.strip(" \t") for value in lists for member in value.split(",")]
    return Received(match[1], match[2], match[3], [member for member in members if member])


@pytest.fixture(scope="module")
def service(module_rbinder: Rbinder) -> Iterator[Harness]:
    port = free_port()
    module_rbinder.start(sys.executable, str(TARGETS / "flask_forwarder.py"), str(port), port=port)
    harness = Harness(port)
    yield harness
    harness.close()


@pytest.mark.parametrize(("headers", "kept"), [pytest.param(*case[1:], id=case[0]) for case in TRACEPARENT_CASES])
def test_traceparent(headers: Headers, kept: bool, service: Harness) -> None:
    (call,) = service.send(headers)
    assert call.parent != PARENT
    if kept:
        assert (call.trace, call.flags) == (TRACE, "01")
    else:
        assert call.trace not in str(headers).lower()


@pytest.mark.parametrize(("headers", "members"), [pytest.param(*case[1:], id=case[0]) for case in TRACESTATE_CASES])
def test_tracestate(headers: Headers, members: list[str], service: Harness) -> None:
    (call,) = service.send(headers)
    assert call.trace == TRACE
    assert call.state == members


def test_tracestate_without_traceparent_is_dropped(service: Harness) -> None:
    assert [service.send([("tracestate", value)])[0].state for value in ("foo=1", "foo=1,bar=2")] == [[], []]


def test_tracestate_with_an_invalid_traceparent_is_dropped(service: Harness) -> None:
    (call,) = service.send(states("foo=1", parent=f"ff{SAMPLED[2:]}"))
    assert (call.state, call.trace == TRACE) == ([], False)


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_flags_sampled_and_random_are_passed_on(flags: str, service: Harness) -> None:
    (call,) = service.send(parents(f"00-{TRACE}-{PARENT}-{flags}"))
    assert (call.trace, call.flags) == (TRACE, flags)


def test_flags_unknown_to_level_2_are_not_passed_on(service: Harness) -> None:
    (call,) = service.send(parents(f"00-{TRACE}-{PARENT}-ff"))
    assert (call.trace, call.flags) == (TRACE, "03")


@pytest.mark.parametrize("headers", [parents(SAMPLED), [], parents(f"00-{'0' * 32}-{PARENT}-01")])
def test_each_of_several_calls_has_a_span_of_its_own(headers: Headers, service: Harness) -> None:
    calls = service.send(headers, 3)
    assert len({call.parent for call in calls}) == 3
    assert len({call.trace for call in calls}) == 1
    assert (calls[0].trace == TRACE) == (headers == parents(SAMPLED))
