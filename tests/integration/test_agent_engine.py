"""The engine agent from outside: when it is chosen, who gets its memory, and that nothing of it is left behind."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import WITH_AGENT
from harness import ROOT, TARGETS, Collector, Rbinder, until
from peers import not_found, peer
from processes import UNSENT, Conversation, below, children, end, exporter, gone, memory, run, tracer, wait_until_gone

from rbinder.agent import contract

pytestmark = WITH_AGENT
Build = Callable[[str], Path]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


@pytest.fixture
def url() -> Iterator[str]:
    with peer(not_found) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def program(rbinder: Rbinder, tmp_path: Path) -> Iterator[Conversation]:
    command = below(rbinder, sys.executable, "-c", ASKING)
    with Conversation(command, tmp_path / "log", start_new_session=True) as conversation:
        conversation.wait_for("ready")
        yield conversation


# Asks the keeper for the memory when it is told where, and prints the memory's first bytes.
ASKING = """
import array, os, socket
print("ready", flush=True)
asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect("\\0" + input())
data, ancillary, _, _ = asked.recvmsg(16, 64)
(memory,) = array.array("i", ancillary[0][2])
print(os.pread(memory, 8, 0), flush=True)
input()
"""


def auto(*command: str, options: tuple[str, ...] = UNSENT) -> list[str]:
    return [sys.executable, "-m", "rbinder", *options, "--", *command]


def engine_said(remarks: list[str]) -> str:
    (said,) = [remark for remark in remarks if remark.startswith("rbinder: engine ")]
    return said.removeprefix("rbinder: engine ")


def test_auto_takes_the_agent_and_says_why(rbinder: Rbinder, collector: Collector, url: str) -> None:
    script = 'curl -s -o /dev/null "$0"; exit 4'
    done = run(auto("sh", "-c", script, url, options=("-v",)), rbinder.environment())
    assert done.visible == (4, "", "")
    assert engine_said(done.remarks).startswith("agent: ")
    assert engine_said(done.remarks).endswith("/sh is dynamically linked")
    (span,) = collector.spans(1)
    assert span["kind"] == "CLIENT"


def static_program(tmp_path: Path) -> str:
    out = tmp_path / "static"
    flags = ["-static", "-O1", "-Wall", "-o", str(out), str(TARGETS / "children.c"), "-lpthread"]
    assert run(["gcc", *flags]).status == 0
    return str(out)


def test_auto_takes_ptrace_for_a_static_program(
    rbinder: Rbinder, collector: Collector, tmp_path: Path, url: str
) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    done = run(auto(static_program(tmp_path), "ask", port, options=("-v",)), rbinder.environment())
    assert done.status == 0
    assert engine_said(done.remarks) == f"ptrace: {tmp_path}/static is statically linked"
    assert len(collector.spans(1)) == 1


def test_a_static_program_runs_untraced_and_that_is_said(rbinder: Rbinder, tmp_path: Path, url: str) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    done = run(below(rbinder, static_program(tmp_path), "ask", port))
    assert done.visible == (0, "HTTP/1.1 404 Not Found\n", "")
    (remark,) = done.remarks
    assert "/static is statically linked: it runs untraced" in remark


def sockets() -> set[str]:
    """Names of abstract sockets of rbinder's."""
    words = Path("/proc/net/unix").read_text().split()
    return {word.removeprefix("@") for word in words if word.startswith("@rbinder-")}


def test_descendants_alone_get_the_memory(program: Conversation) -> None:
    descriptor = memory(tracer(program.process.pid))
    token = os.pread(descriptor, 16, contract.TOKEN)
    os.close(descriptor)
    name = f"rbinder-{token.hex()}"
    assert name in sockets()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(f"\0{name}")
        assert stranger.recvmsg(16, 64)[:2] == (b"", [])
    assert program.process.stdin is not None
    program.process.stdin.write(f"{name}\n\n".encode())
    program.process.stdin.flush()
    assert program.end() == 0
    assert program.lines[-1] == str(b"RBINDER1")
    until(lambda: name not in sockets(), lambda: "the socket goes with the keeper")


def test_the_memory_is_sealed_and_nobody_elses(program: Conversation) -> None:
    descriptor = memory(tracer(program.process.pid))
    status = os.fstat(descriptor)
    seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    os.close(descriptor)
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == contract.HEADER_SIZE + contract.CAPACITY
    assert seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    end(tracer(program.process.pid))


def test_when_nobody_collects_nothing_is_recorded(program: Conversation) -> None:
    keeper, collecting = tracer(program.process.pid), exporter(program.process.pid)
    (pid,) = children(keeper)
    descriptor = memory(keeper)
    with mmap.mmap(descriptor, contract.HEADER_SIZE) as header:
        os.kill(program.process.pid, signal.SIGSTOP)  # or it would start another one
        os.kill(collecting, signal.SIGKILL)
        end(program.process.pid)
        until(lambda: header[contract.DETACHED] == 1, lambda: "the agents are told")
        assert not gone(pid)
    os.close(descriptor)
    end(pid)
    wait_until_gone(keeper)


@pytest.mark.parametrize("pattern", ["rbinder.*signals", "signals"])
def test_a_signal_by_name_comes_once(pattern: str, rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    """`pkill -f` takes rbinder alone, or all that has the program's name."""
    ours = tmp_path / "signals-by-name"
    shutil.copy(build("signals.c"), ours)
    with Conversation(below(rbinder, str(ours)), tmp_path / "log", start_new_session=True) as conversation:
        conversation.wait_for("ready")
        exporter(conversation.process.pid)
        found = pattern.replace("signals", str(ours))
        assert run(["pkill", "-TERM", "-f", found]).status == 0
        conversation.wait_for("15")
        os.kill(conversation.process.pid, signal.SIGRTMAX)
        conversation.wait_for(str(int(signal.SIGRTMAX)))
        assert conversation.lines[1:-1] == ["15"]
        assert conversation.end() == 0


@AS_ROOT
def test_children_of_another_user_can_load_it(rbinder: Rbinder, collector: Collector, tmp_path: Path, url: str) -> None:
    """Out of a directory that is root's alone, whose name no loader takes."""
    home = tmp_path / "root's: own"
    home.mkdir(mode=0o700)
    shutil.copytree(ROOT / "rbinder", home / "rbinder", ignore=shutil.ignore_patterns("src", "__pycache__"))
    before = set(Path("/tmp").glob("rbinder-*"))
    command = [*NOBODY, "curl", "-s", "-o", "/dev/null", url]
    environment = rbinder.environment({"PYTHONPATH": str(home)})
    launched = [sys.executable, "-m", "rbinder", "-e", "agent", "--", *command]
    done = run(launched, environment, cwd=home)
    assert done.visible == (0, "", "")
    (span,) = collector.spans(1)
    assert span["service"] == "curl"
    assert set(Path("/tmp").glob("rbinder-*")) == before


def test_descriptors_that_programs_pass_are_theirs(rbinder: Rbinder) -> None:
    """Nothing of ours is inherited."""
    done = run(below(rbinder, "ls", "-l", "/proc/self/fd"))
    assert done.status == 0
    assert "rbinder" not in done.stdout
