"""What a program inherits, and what becomes of its standard streams, is the same with and without rbinder."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Rbinder, clean_environment
from peers import not_found, peer
from processes import UNFILTERED, UNSENT, below, run, same, shell_status

Build = Callable[[str], Path]
OF_ITS_OWN = re.compile(r"^(group|session) .*\n", re.MULTILINE)  # a test starts each run in a session of its own


def inherited(command: list[str], file: Path, **how: object) -> str:
    done = run(command, **how)
    assert done.status == 0, done
    return OF_ITS_OWN.sub("", file.read_text())


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED])
def test_everything_is_inherited(options: tuple[str, ...], rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    file = tmp_path / "inherited"
    command = [str(build("inherited.c")), str(file), "", "two words", "-x", "--"]
    environment = {
        "PATH": os.environ["PATH"],
        "EMPTY": "",
        "OTEL_A": "1",
        "RBINDER_QUIET": "1",
        "LC_ALL": "C",
        "é": "ü",
    }

    def prepare() -> None:
        os.nice(3)
        os.umask(0o27)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.chdir(tmp_path)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
        resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 64 << 20))
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def outcome(before: list[str]) -> str:
        words = ["sh", "-c", 'exec 7>seven; exec "$@"', "sh", *before, *command]
        return inherited(words, file, environment=environment, preexec_fn=prepare, start_new_session=True)

    untouched, traced = outcome([]), outcome(below(rbinder, options=options))
    pipes = re.compile(r"pipe:\[\d+\]")
    assert pipes.sub("pipe", traced) == pipes.sub("pipe", untouched)
    assert "descriptor 7 " in traced
    assert "variable OTEL_A=1" in traced


def test_the_session_and_the_process_group(rbinder: Rbinder) -> None:
    script = "ps -o pgid=,sid= -p $$"
    process = subprocess.Popen(
        below(rbinder, "sh", "-c", script), env=clean_environment(), stdout=subprocess.PIPE, start_new_session=True
    )
    out, _ = process.communicate(timeout=30)
    assert out.split() == [str(process.pid).encode()] * 2


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_closed_standard_streams(closed: tuple[int, ...], rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    file = tmp_path / "inherited"
    command = [str(build("inherited.c")), str(file)]
    streams = " ".join(f"{descriptor}>&-" for descriptor in closed)

    def outcome(before: list[str]) -> str:
        words = ["sh", "-c", f'exec "$@" {streams}', "sh", *before, *command]
        null = subprocess.DEVNULL
        subprocess.run(words, env=clean_environment(), stdin=null, stdout=null, stderr=null, timeout=30, check=True)
        return OF_ITS_OWN.sub("", file.read_text())

    untouched = outcome([])
    assert outcome(below(rbinder)) == untouched
    assert not any(f"descriptor {descriptor} " in untouched for descriptor in closed)


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>&-", "<&- 2>/dev/full"])
def test_the_status_does_not_need_streams(streams: str, rbinder: Rbinder) -> None:
    command = below(rbinder, "sh", "-c", "cat /dev/null; exit 33", options=("-x", "console"))
    assert run(["sh", "-c", f'exec "$@" {streams}', "sh", *command]).status == 33


def test_output_that_nobody_reads(rbinder: Rbinder) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = below(rbinder, "yes")
    try:
        done = subprocess.run(command, env=clean_environment(), stdout=writer, stderr=subprocess.PIPE, timeout=30)
    finally:
        os.close(writer)
    assert shell_status(done.returncode) == 128 + signal.SIGPIPE
    assert done.stderr == b""


def test_few_descriptors(rbinder: Rbinder, build: Build) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))

    with peer(not_found) as port:
        command = str(build("children.c")), "ask", str(port)
        done = same(rbinder, *command, preexec_fn=limit)
        assert done.visible == (0, "HTTP/1.1 404 Not Found\n", "")
        exporting = run(below(rbinder, *command, options=("-x", "otlp")), rbinder.environment(), preexec_fn=limit)
    assert exporting.visible == done.visible
    assert len(exporting.remarks) <= 1
