"""Where a container's seccomp profile refuses what the engine would like to use, it finds another way."""

from __future__ import annotations

import sys

import pytest
from engines import WITH_PTRACE
from harness import TARGETS, Collector, Program, Rbinder, exchange, free_port

pytestmark = WITH_PTRACE  # the agent asks for none of these calls
REFUSED = {
    "process_vm_readv,process_vm_writev,pidfd_getfd": [],  # Docker's default profile before 23.0, kcmp beside them
    "pidfd_getfd": [],
    "pidfd_open,pidfd_getfd": [],
    "seccomp": ["rbinder: a seccomp filter is refused here: every system call stops the program, which is much slower"],
}


@pytest.mark.parametrize("calls", REFUSED)
def test_refused_calls_cost_no_span(rbinder: Rbinder, collector: Collector, calls: str) -> None:
    port, back = free_port(), free_port()
    rbinder.start(sys.executable, str(TARGETS / "back.py"), str(back), port=back)
    directory = rbinder.directory / "refused"
    directory.mkdir()
    front = [sys.executable, str(TARGETS / "front_requests.py"), str(port), str(back)]
    command = [sys.executable, str(TARGETS / "refuse.py"), calls, sys.executable, "-m", "rbinder", "-e", rbinder.engine]
    program = Program([*command, "--", *front], rbinder.environment({"OTEL_SERVICE_NAME": "front"}), directory)
    rbinder.programs.append(program)
    program.wait_for_port(port)
    trace = "0123456789abcdef0123456789abcdef"
    fields = f"Host: x\r\nConnection: close\r\ntraceparent: 00-{trace}-00000000000000ff-01"
    assert b" 200 " in exchange(port, f"GET /work?id=1 HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    spans = {(span["service"], span["kind"]): span for span in collector.trace(trace, 3)}
    served, called = spans["front", "SERVER"], spans["front", "CLIENT"]
    assert served["parentSpanId"] == "00000000000000ff"
    assert called["parentSpanId"] == served["spanId"]
    assert served["attributes"]["client.address"] == "127.0.0.1"
    assert any(service != "front" and span["parentSpanId"] == called["spanId"] for (service, _), span in spans.items())
    assert program.stop(-15, 143).remarks == REFUSED[calls]


def test_a_tracer_below_gets_the_kernels_answer(rbinder: Rbinder) -> None:
    """It can't be given its way here; its call is made all the same, once, and fails as below any other tracer."""
    script = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.ptrace(0, 0, 0, 0), ctypes.get_errno())"
    directory = rbinder.directory / "below"
    directory.mkdir()
    refuse = [sys.executable, str(TARGETS / "refuse.py"), "pidfd_getfd"]
    command = [*refuse, sys.executable, "-m", "rbinder", "-e", rbinder.engine, "-x", "none", "--"]
    program = Program([*command, sys.executable, "-c", script], rbinder.environment(), directory)
    rbinder.programs.append(program)
    done = program.wait()
    assert (done.status, done.stdout) == (0, "-1 1\n")  # EPERM
    assert "can't be given its way" in done.remarks[-1]
