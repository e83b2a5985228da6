"""rbinder as process 1 of a PID namespace, as in a container: it reaps, takes signals, and exports before all ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Collector, Rbinder
from peers import not_found, peer
from processes import UNSENT, Conversation, below, children, refused, run, wait_until_gone

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

REFUSED = refused(*UNSHARE)
pytestmark = pytest.mark.skipif(bool(REFUSED), reason=f"no PID namespace of its own here: {REFUSED}")


@pytest.fixture
def port() -> Iterator[int]:
    with peer(not_found) as number:
        yield number


@pytest.mark.parametrize("status", [0, 7])
def test_the_status(status: int, rbinder: Rbinder) -> None:
    assert run([*UNSHARE, *below(rbinder, "sh", "-c", f"exit {status}")]).status == status


def test_death_by_a_signal(rbinder: Rbinder) -> None:
    assert run([*UNSHARE, *below(rbinder, "sh", "-c", "kill -9 $$")]).status == 137


def test_orphans_are_reaped(rbinder: Rbinder) -> None:
    """Those of the program, and those of a process that came into the namespace by another way."""
    script = """
        (sh -c 'echo $$ > /dev/null; exit 0' &)
        setsid -f true
        while ps -A -o stat= | grep -q Z; do :; done
        echo reaped
    """
    assert run([*UNSHARE, *below(rbinder, "sh", "-c", script)]).visible == (0, "reaped\n", "")


def test_orphans_from_outside_are_reaped(rbinder: Rbinder, tmp_path: Path) -> None:
    script = "echo ready; read line; while ps -A -o stat= | grep -q Z; do :; done; echo reaped"
    with Conversation([*UNSHARE, *below(rbinder, "sh", "-c", script)], tmp_path / "log") as program:
        program.wait_for("ready")
        (launcher,) = children(program.process.pid)
        enter = ["nsenter", "--target", str(launcher), "--pid", "--mount", "setsid", "-f", "true"]
        assert run(enter).status == 0
        assert program.end() == 0
        assert program.lines[-1] == "reaped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_program(number: signal.Signals, rbinder: Rbinder, tmp_path: Path) -> None:
    script = f"trap 'echo caught; exit 3' {int(number)}; echo ready; while read line; do :; done"
    with Conversation([*UNSHARE, *below(rbinder, "sh", "-c", script)], tmp_path / "log") as program:
        program.wait_for("ready")
        (launcher,) = children(program.process.pid)
        os.kill(launcher, number)
        program.wait_for("caught")
        assert program.end() == 3


def test_spans_are_exported_before_the_end(rbinder: Rbinder, collector: Collector, port: int) -> None:
    command = below(rbinder, "curl", "-s", f"http://127.0.0.1:{port}/last", options=())
    patient = rbinder.environment({"RBINDER_EXIT_TIMEOUT": "20"})
    assert run([*UNSHARE, *command], patient).status == 0
    (span,) = collector.received()
    assert span["kind"] == "CLIENT"


def test_what_the_program_leaves_behind_ends_with_it(rbinder: Rbinder, tmp_path: Path) -> None:
    script = "sleep 1000 & echo left; read line; exit 4"
    with Conversation([*UNSHARE, *below(rbinder, "sh", "-c", script, options=UNSENT)], tmp_path / "log") as program:
        program.wait_for("left")
        (launcher,) = children(program.process.pid)
        assert program.end() == 4
        wait_until_gone(launcher)
