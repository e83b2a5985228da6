"""`rbinder --check` against this kernel, against a kernel that refuses, and against endpoints that answer or don't."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbinder import agent, check, endpoint, probes
from rbinder.check import NO, OK, WARN, Finding
from rbinder.config import Config

Capture = pytest.CaptureFixture[str]

# The probes fork; rbinder has no thread then, while in the tests' process others may have left some.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

# Refuses the calls named on the command line by number with EPERM, then reports as `rbinder --check` does.
REFUSING = """
import ctypes, os, struct, sys
from rbinder import check, probes
from rbinder.config import Config
load, jump, give = 0x20, 0x15, 0x06
numbers = [int(word) for word in sys.argv[1:]]
code = [struct.pack("=HBBI", load, 0, 0, 0)]
for number in numbers:
    code.append(struct.pack("=HBBI", jump, 0, 1, number))
    code.append(struct.pack("=HBBI", give, 0, 0, 0x50000 | 1))
code.append(struct.pack("=HBBI", give, 0, 0, probes.SECCOMP_RET_ALLOW))
text = ctypes.create_string_buffer(b"".join(code), 8 * len(code))
program = probes.FilterProgram(len(code), ctypes.addressof(text))
assert probes.libc.prctl(probes.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert probes.libc.prctl(probes.PR_SET_SECCOMP, 2, ctypes.addressof(program), 0, 0) == 0
sys.exit(check.run(Config(check=True)))
"""
CAP_SYS_ADMIN = 21  # <linux/capability.h>
# <asm/unistd_64.h> and <asm-generic/unistd.h>
CALLS = {
    "x86_64": {"ptrace": 101, "prctl": 157, "process_vm_readv": 310},
    "aarch64": {"ptrace": 117, "prctl": 167, "process_vm_readv": 270},
}[os.uname().machine]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "RBINDER_")):
            monkeypatch.delenv(name)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound and not listening: nobody else can get it, and it refuses
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def marks(config: Config) -> dict[str, str]:
    return {finding.what: finding.mark for finding in check.findings(config)}


def refused(*calls: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REFUSING, *(str(CALLS[call]) for call in calls)]
    return subprocess.run(command, text=True, capture_output=True, timeout=30, check=False)


def test_this_machine_can_trace_and_the_report_says_so(capfd: Capture) -> None:
    assert check.run(Config(check=True)) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    engines = ("agent", "engine agent", "engine ptrace", "engine auto")
    for what in ("kernel", "architecture", "ptrace", "process_vm_readv", "seccomp", *engines):
        assert any(line.startswith(f"ok    {what}: ") for line in lines), what
    assert err == ""


def test_every_line_has_a_mark_and_a_reason() -> None:
    for finding in check.findings(Config(check=True, exporters=("console",))):
        assert finding.mark in (OK, WARN, NO)
        assert finding.what
        assert finding.reason


def test_refused_ptrace_is_told_with_a_remedy_and_leaves_the_agent() -> None:
    done = refused("ptrace")
    assert done.returncode == 0
    assert "no    ptrace: tracing a child failed with EPERM\n      remedy: " in done.stdout
    assert "no    engine ptrace: does not work without ptrace" in done.stdout
    assert "warn  engine auto: agent; " in done.stdout
    assert done.stderr == ""


def test_refused_memory_reads_leave_the_slower_way() -> None:
    done = refused("process_vm_readv")
    assert done.returncode == 0
    assert "warn  process_vm_readv: failed with EPERM\n      remedy: in a container: docker run" in done.stdout
    assert "ok    engine ptrace: works" in done.stdout


def test_refused_seccomp_leaves_the_engine_without_a_filter() -> None:
    done = refused("prctl")
    assert done.returncode == 0
    assert "no    seccomp: installing a filter failed with EPERM\n      remedy: --no-seccomp" in done.stdout
    assert "warn  engine ptrace: works without seccomp only\n      remedy: use --no-seccomp" in done.stdout


@pytest.mark.parametrize(
    ("release", "mark"),
    [("4.8.0", OK), ("6.1.0-18-amd64", OK), ("10.0", OK), ("4.7.9-x", NO), ("3.10.0-1160.el7", NO), ("?", WARN)],
)
def test_kernel(release: str, mark: str) -> None:
    assert check.check_kernel(release).mark == mark


@pytest.mark.parametrize(("machine", "mark"), [("x86_64", OK), ("aarch64", OK), ("riscv64", NO), ("i686", NO)])
def test_architecture(machine: str, mark: str) -> None:
    assert check.check_architecture(machine).mark == mark


@pytest.mark.parametrize(("scope", "mark"), [("0", OK), ("1", OK), ("2", WARN), ("3", WARN), ("9", WARN)])
def test_yama(scope: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ptrace_scope"
    path.write_text(f"{scope}\n")
    monkeypatch.setattr(check, "YAMA", path)
    finding = check.check_yama()
    assert finding.mark == mark
    assert finding.reason.startswith(f"{scope}: ")


def test_no_yama_is_no_restriction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "YAMA", tmp_path / "missing")
    assert check.check_yama().mark == OK


def test_a_missing_dependency_comes_with_its_remedy() -> None:
    finding = check.check_dependency("no-such-distribution-of-ours")
    assert finding == Finding(NO, finding.what, "not installed", f"pip install {finding.what}")


def test_a_missing_needed_part_leaves_no_engine() -> None:
    needed = [Finding(OK, "kernel", ""), Finding(NO, "python-ptrace", "not installed")]
    found = list(check.check_engines(Config(), needed, Finding(OK, "seccomp", ""), Finding(WARN, "agent", "")))
    assert [finding.mark for finding in found] == [WARN, NO, NO]
    assert "python-ptrace" in found[1].reason


def test_without_the_agent_there_is_ptrace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "library", lambda: None)
    found = check.check_agent()
    assert found.mark == WARN
    assert "was not built for this machine" in found.reason
    engines = list(check.check_engines(Config(), [], Finding(OK, "seccomp", ""), found))
    assert [(finding.mark, finding.reason) for finding in engines[1:]] == [(OK, "works"), (OK, "ptrace")]


def test_a_probe_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, children = os.fork, list[int]()

    def noted_fork() -> int:
        children.append(fork())
        return children[-1]

    def hang() -> probes.Answer:
        signal.pause()
        return {}

    monkeypatch.setattr(os, "fork", noted_fork)
    started = time.monotonic()
    assert probes.in_child(hang, limit=0.2) is None
    assert 0.2 <= time.monotonic() - started < probes.LIMIT
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)


def test_a_probe_that_fails_gives_no_answer() -> None:
    assert probes.in_child(lambda: {"x": str(1 // 0)}) is None


def expected_filter_answer() -> probes.Answer:
    """EACCES at the first attempt, which seccomp(2) promises to who has neither CAP_SYS_ADMIN nor no_new_privs."""
    status = Path("/proc/self/status").read_text()
    (capabilities,) = re.findall(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    free = int(capabilities, 16) >> CAP_SYS_ADMIN & 1 or re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    return {"privileged": "" if free else "EACCES", "filter": ""}


def test_a_filter_stays_in_the_probes_child() -> None:
    before = probes.seccomp_mode()
    assert probes.in_child(probes.install_filter) == expected_filter_answer()
    assert probes.seccomp_mode() == before


def test_an_endpoint_that_listens_is_ok(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:hunter2@127.0.0.1:{listener}")
    finding = check.check_otlp(Config())
    assert finding.mark == OK
    assert f"http://127.0.0.1:{listener}/v1/traces (http/protobuf)" in finding.reason
    assert "hunter2" not in finding.reason


def test_an_endpoint_that_refuses_is_a_warning_with_a_remedy(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    finding = check.check_otlp(Config())
    assert (finding.mark, "refused" in finding.reason) == (WARN, True)
    assert finding.remedy


def test_repairs_hold_for_the_check_too(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"https://127.0.0.1:{listener}")
    finding = check.check_otlp(Config(repairs={"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}))
    assert finding.mark == OK
    assert "certificate" in finding.reason


BASE, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
ENDPOINTS = [
    ({}, "http://localhost:4318/v1/traces", "localhost", 4318, False),
    (GRPC, "http://localhost:4317", "localhost", 4317, False),
    ({BASE: "http://c:1/"}, "http://c:1/v1/traces", "c", 1, False),
    ({BASE: "https://c/otlp"}, "https://c/otlp/v1/traces", "c", 443, True),
    ({BASE: "http://c:1", TRACES: "http://t:2/x?token=s"}, "http://t:2/x", "t", 2, False),
    ({BASE: "http://[::1]"}, "http://[::1]/v1/traces", "::1", 80, False),
    ({**GRPC, BASE: "c:9"}, "https://c:9", "c", 9, True),
    ({**GRPC, BASE: "c:9", "OTEL_EXPORTER_OTLP_INSECURE": "True"}, "http://c:9", "c", 9, False),
    ({**GRPC, TRACES: "http://t"}, "http://t", "t", 443, False),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http://localhost:4318/v1/traces", "localhost", 4318, False),
    ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", BASE: "http://c:9"}, "http://c:9", "c", 9, False),
]


@pytest.mark.parametrize(("settings", "url", "host", "port", "secure"), ENDPOINTS)
def test_endpoint(settings: dict[str, str], url: str, host: str, port: int, secure: bool) -> None:
    found = endpoint.resolve(settings)
    assert (found.url, found.host, found.port, found.secure, found.problem) == (url, host, port, secure, "")


@pytest.mark.parametrize("asked", ["localhost:4318", "ftp://c", "http:///x", "http://c:port", "http://[::1"])
def test_an_endpoint_that_is_no_url_is_a_problem_not_a_traceback(asked: str) -> None:
    assert endpoint.resolve({BASE: asked}).problem


def test_a_unix_socket_is_not_probed() -> None:
    assert endpoint.resolve({**GRPC, BASE: "unix:/run/otel.sock"}).problem


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
def test_a_name_that_can_not_be_one_is_an_error(host: str) -> None:
    answer = endpoint.connect(endpoint.Endpoint("grpc", "", host, 1))
    assert answer["error"]


def test_file_exporter(tmp_path: Path) -> None:
    assert check.check_file(str(tmp_path / "new.jsonl")).mark == OK
    assert check.check_file(str(tmp_path)).mark == WARN
    assert check.check_file(str(tmp_path / "missing" / "new.jsonl")).mark == WARN


def test_exporters_without_an_endpoint() -> None:
    assert [finding.mark for finding in check.check_exporters(Config())] == [WARN]
    assert [finding.what for finding in check.check_exporters(Config(exporters=("console",)))] == ["exporter console"]
    assert marks(Config(exporters=("console",)))["engine auto"] == OK
