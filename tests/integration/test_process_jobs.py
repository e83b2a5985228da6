"""Job control: below an interactive shell on a terminal, a program under rbinder is a job like any other."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Rbinder, clean_environment, until
from processes import UNFILTERED, UNSENT, below, children, name, state
from terminal import Terminal

CONTROL_C, CONTROL_D, CONTROL_Z = "\x03", "\x04", "\x1a"
PROMPT = "prompt> "


@pytest.fixture
def shell() -> Iterator[Terminal]:
    environment = clean_environment() | {"PS1": "prompt> ", "TERM": "dumb", "HISTFILE": ""}
    command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
    with Terminal(command, environment) as terminal:
        terminal.expect(PROMPT)
        yield terminal


def line(rbinder: Rbinder, *command: str, options: tuple[str, ...] = UNSENT) -> str:
    return shlex.join(below(rbinder, *command, options=options))


def converse(shell: Terminal, word: str) -> None:
    """With cat, which thereby is known to run: a shell that is just about to start it can't be stopped (vfork(2))."""
    shell.type(f"{word}\n")
    shell.expect(f"{word}\r\n{word}\r\n")


def stop(shell: Terminal) -> None:
    """Until all of the job is: who reads the terminal may be stopped later than its leader, and would take a line."""
    shell.type(CONTROL_Z)
    shell.expect("Stopped")
    shell.expect(PROMPT)
    # "t" where it has a tracer (proc(5))
    until(lambda: {state(pid) for pid in cats(shell.pid)} <= {"T", "t"}, lambda: "cat is stopped")


def cats(pid: int) -> list[int]:
    """Of the processes below one, those that read what is typed."""
    below_it = [pid for child in children(pid) for pid in (child, *cats(child))]
    return [pid for pid in below_it if name(pid) == "cat"]


def resume(shell: Terminal) -> None:
    """`fg`, which prints the job's command."""
    shell.type("fg\n")
    shell.expect("fg\r\n[^\r]+\r\n")


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
def test_a_job_is_stopped_and_goes_on(options: tuple[str, ...], rbinder: Rbinder, shell: Terminal) -> None:
    shell.type(line(rbinder, "sh", "-c", "cat; exit 1", options=options) + "\n")
    converse(shell, "one")
    stop(shell)
    shell.type("jobs\n")
    shell.expect(r"\[1\]\+\s+Stopped")
    shell.expect(PROMPT)
    resume(shell)
    converse(shell, "two")
    stop(shell)
    resume(shell)
    converse(shell, "three")
    shell.type(CONTROL_C)
    shell.expect(PROMPT)
    shell.type("echo status=$?\n")
    shell.expect("status=130\r\n")


def test_a_job_goes_on_in_the_background(rbinder: Rbinder, shell: Terminal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    script = f"echo ready; read line < {tmp_path}/fifo; echo got $line"
    shell.type(line(rbinder, "sh", "-c", script) + "\n")
    shell.expect("ready\r\n")
    stop(shell)
    shell.type("bg\n")
    shell.expect(PROMPT)
    shell.type("jobs\n")
    shell.expect(r"\[1\]\+\s+Running")
    shell.expect(PROMPT)
    shell.type(f"echo through > {tmp_path}/fifo; wait; echo status=$?\n")
    shell.expect("got through\r\n")
    shell.expect("status=0\r\n")


def test_a_background_job_that_reads_is_stopped(rbinder: Rbinder, shell: Terminal) -> None:
    shell.type(line(rbinder, "sh", "-c", "read line; echo got $line") + " & wait; jobs\n")
    shell.expect(r"\[1\]\+\s+Stopped")
    shell.expect(PROMPT)
    resume(shell)
    shell.type("words\n")
    shell.expect("got words\r\n")
    shell.expect(PROMPT)


def test_stopped_by_others(rbinder: Rbinder, shell: Terminal) -> None:
    """SIGTSTP sent to rbinder's own process (its job's leader) stops the program, then rbinder."""
    script = "kill -TSTP $(ps -o pgid= -p $$); read line; echo got $line; exit 3"
    shell.type(line(rbinder, "sh", "-c", script) + "\n")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    resume(shell)
    shell.type("words\n")
    shell.expect("got words\r\n")
    shell.expect(PROMPT)
    shell.type("echo status=$?\n")
    shell.expect("status=3\r\n")


def test_the_end_of_input_and_the_size(rbinder: Rbinder, shell: Terminal) -> None:
    shell.resize(33, 111)
    shell.type(line(rbinder, "sh", "-c", "stty size; cat; echo ended") + "\n")
    shell.expect("33 111\r\n")
    shell.type(CONTROL_D)
    shell.expect("ended\r\n")
    shell.expect(PROMPT)


def test_a_shell_below_rbinder_has_jobs_of_its_own(rbinder: Rbinder, shell: Terminal) -> None:
    shell.type(line(rbinder, "bash", "--norc", "--noprofile", "--noediting", "-i") + "\n")
    shell.expect(PROMPT)
    shell.type("cat\n")
    converse(shell, "one")
    stop(shell)
    resume(shell)
    converse(shell, "two")
    shell.type(CONTROL_C)
    shell.expect(PROMPT)
    shell.type("echo inner=$?; exit 5\n")
    shell.expect("inner=130\r\n")
    shell.expect(PROMPT)
    shell.type("echo outer=$?\n")
    shell.expect("outer=5\r\n")
