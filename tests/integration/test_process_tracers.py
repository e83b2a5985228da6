"""Other tracers: below rbinder they have their way, above it the program runs untraced and rbinder says why."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Collector, Rbinder
from peers import not_found, peer
from processes import UNFILTERED, UNSENT, Outcome, below, run, same

Build = Callable[[str], Path]
FILTERS = pytest.mark.parametrize("options", [UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
SCRIPT = 'curl -s -o /dev/null "$0"; /bin/true; exit 8'
LET_GO = "a tracer runs below rbinder"


@pytest.fixture
def url() -> Iterator[str]:
    with peer(not_found) as port:
        yield f"http://127.0.0.1:{port}/"


def check_remark(rbinder: Rbinder, done: Outcome) -> None:
    """A process has one tracer; the agent is none."""
    if rbinder.engine == "ptrace":
        (remark,) = done.remarks
        assert LET_GO in remark
    else:
        assert done.remarks == []


@FILTERS
def test_strace_below(options: tuple[str, ...], rbinder: Rbinder, tmp_path: Path, url: str) -> None:
    log = tmp_path / "log"
    command = ["strace", "-f", "-o", str(log), "-e", "trace=execve,connect,recvfrom", "sh", "-c", SCRIPT, url]
    done = run(below(rbinder, *command, options=options))
    assert done.visible == (8, "", "")
    check_remark(rbinder, done)
    seen = log.read_text()
    assert seen.count("execve(") >= 3
    assert "404 Not Found" in seen
    assert "ENOSYS" not in seen
    assert "exited with 8" in seen


@FILTERS
def test_strace_that_attaches_to_a_running_program(options: tuple[str, ...], rbinder: Rbinder, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"""
        mkfifo {tmp_path}/fifo
        : > {tmp_path}/said
        sh -c 'read line < {tmp_path}/fifo; cat /dev/null; exit 6' & target=$!
        strace -f -o {log} -p $target 2> {tmp_path}/said & strace=$!
        until grep -q attached {tmp_path}/said; do :; done
        echo > {tmp_path}/fifo
        wait $target; echo $?
        wait $strace
    """
    done = run(below(rbinder, "sh", "-c", script, options=options))
    assert done.visible == (0, "6\n", "")
    assert "exited with 6" in log.read_text()


@FILTERS
def test_gdb_below(options: tuple[str, ...], rbinder: Rbinder, build: Build, url: str) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    commands = ["-ex", "break connect", "-ex", "run", "-ex", "delete", "-ex", "continue"]
    command = ["gdb", "-nx", "-batch", *commands, "--args", str(build("children.c")), "ask", port]
    done = run(below(rbinder, *command, options=options))
    assert done.status == 0
    assert re.search(r"Breakpoint 1(\.\d)?, .*connect", done.stdout)  # the agent has one as well
    assert "HTTP/1.1 404 Not Found" in done.stdout
    assert "exited normally" in done.stdout


def test_below_strace(rbinder: Rbinder, tmp_path: Path) -> None:
    command = below(rbinder, "sh", "-c", "echo out; exit 5")
    done = run(["strace", "-f", "-o", str(tmp_path / "log"), *command])
    assert done.visible == (5, "out\n", "")
    if rbinder.engine == "ptrace":
        (remark,) = done.remarks
        assert "traced, by strace" in remark
    else:
        assert done.remarks == []


@FILTERS
def test_rbinder_below_rbinder(options: tuple[str, ...], rbinder: Rbinder, collector: Collector, url: str) -> None:
    """The outer one traces, the inner one says why it doesn't."""
    inner = below(rbinder, "sh", "-c", SCRIPT, url)
    extra = [option for option in options if option not in UNSENT]
    done = run(below(rbinder, *inner, options=extra), rbinder.environment())
    assert done.visible == (8, "", "")
    assert len(done.remarks) == 1
    assert "rbinder is itself being traced" in done.remarks[0]
    assert len(collector.spans(1)) == 1


@FILTERS
def test_a_program_that_lets_itself_be_traced(
    options: tuple[str, ...], rbinder: Rbinder, build: Build, url: str
) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    program = str(build("confined.c"))
    done = same(rbinder, program, "traceme", port, options=options)
    assert done.stdout.startswith("0 -1\n")
    check_remark(rbinder, done)
    same(rbinder, "sh", "-c", f"{program} traceme {port}; echo $?", options=options)


@FILTERS
def test_a_signal_for_a_program_that_lets_itself_be_traced(
    options: tuple[str, ...], rbinder: Rbinder, build: Build
) -> None:
    """Its tracer is whoever started it, which is rbinder: it must not be left in its stops."""
    assert run(below(rbinder, str(build("confined.c")), "raise", "0", options=options)).status == 128 + signal.SIGUSR1
