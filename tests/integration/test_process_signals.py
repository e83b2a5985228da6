"""A signal reaches the program exactly once, however it was sent; what was blocked or ignored stays so.

The proof of "once": a last signal, sent to rbinder alone, takes the longest way there is; what came before it is all.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Rbinder
from processes import UNFILTERED, UNSENT, Conversation, below, children, run, same, tracer

Build = Callable[[str], Path]
LAST = int(signal.SIGRTMAX)
UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
TERMINAL_KEYS = {b"\x03": signal.SIGINT, b"\x1c": signal.SIGQUIT, b"\x1a": signal.SIGTSTP}


@pytest.fixture(params=[UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
def program(request: pytest.FixtureRequest, rbinder: Rbinder, build: Build, tmp_path: Path) -> Iterator[Conversation]:
    command = below(rbinder, str(build("signals.c")), options=request.param)
    with Conversation(command, tmp_path / "log", start_new_session=True) as conversation:
        conversation.wait_for("ready")
        yield conversation


def received(program: Conversation, launcher: int) -> list[int]:
    """All signals the program has got up to now."""
    os.kill(launcher, LAST)
    program.wait_for(str(LAST))
    return [int(line) for line in program.lines[1:-1]]


def test_sent_to_rbinder(program: Conversation) -> None:
    sent = sorted(int(number) for number in signal.valid_signals() - UNCATCHABLE if number != LAST)
    for number in sent:
        os.kill(program.process.pid, number)
        program.wait_for(str(number))
    assert received(program, program.process.pid) == sent
    assert program.end() == 0


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "TSTP", "ABRT"])
def test_sent_to_the_process_group(name: str, program: Conversation) -> None:
    number = int(signal.Signals[f"SIG{name}"])
    os.killpg(program.process.pid, number)
    program.wait_for(str(number))
    assert received(program, program.process.pid) == [number]
    assert program.end() == 0


def test_sent_to_the_program(program: Conversation) -> None:
    (pid,) = children(tracer(program.process.pid))
    os.kill(pid, signal.SIGTERM)
    program.wait_for(str(int(signal.SIGTERM)))
    assert received(program, program.process.pid) == [signal.SIGTERM]
    assert program.end() == 0


def test_sent_by_timeout(rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    """`timeout` sends on what it is sent itself, so that nothing depends on time."""
    command = ["timeout", "--foreground", "600", *below(rbinder, str(build("signals.c")))]
    with Conversation(command, tmp_path / "log", start_new_session=True) as program:
        program.wait_for("ready")
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("15")
        (launcher,) = children(program.process.pid)
        assert received(program, launcher) == [signal.SIGTERM]
        assert program.end() == 0


def test_sent_by_timeout_to_its_group(rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    """Then it sends twice, and SIGCONT as often: two equal signals may become one on their way, but never more."""
    command = ["timeout", "600", *below(rbinder, str(build("signals.c")))]
    with Conversation(command, tmp_path / "log", start_new_session=True) as program:
        program.wait_for("ready")
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("15")
        (launcher,) = children(program.process.pid)
        got = received(program, launcher)
        assert 1 <= got.count(signal.SIGTERM) <= 2
        assert got.count(signal.SIGCONT) <= 2
        assert set(got) <= {signal.SIGTERM, signal.SIGCONT}
        assert program.end() == 0


def test_sent_by_the_terminal(rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    command = below(rbinder, str(build("signals.c")))
    with Conversation(command, tmp_path / "log", preexec_fn=take_terminal, pass_fds=[theirs]) as program:
        os.close(theirs)
        program.wait_for("ready")
        for key, number in TERMINAL_KEYS.items():
            os.write(ours, key)
            program.wait_for(str(int(number)))
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        program.wait_for(str(int(signal.SIGWINCH)))
        assert received(program, program.process.pid) == [*TERMINAL_KEYS.values(), signal.SIGWINCH]
        os.close(ours)
        program.wait_for(str(int(signal.SIGHUP)))
        program.wait_for(str(int(signal.SIGCONT)))
        assert program.end() == 0


def ignore_and_block() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGTTOU, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMIN + 5})


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED])
def test_what_was_blocked_or_ignored_stays_so(options: tuple[str, ...], rbinder: Rbinder) -> None:
    done = same(rbinder, "grep", "^Sig[BIC]", "/proc/self/status", options=options, preexec_fn=ignore_and_block)
    blocked, ignored = (int(line.split()[1], 16) for line in done.stdout.splitlines()[:2])
    assert blocked >> (signal.SIGTERM - 1) & 1
    assert ignored >> (signal.SIGHUP - 1) & 1


def test_children_are_waited_for_where_sigchld_was_ignored(rbinder: Rbinder) -> None:
    script = "trap '' CHLD; exec \"$@\""
    done = run(["sh", "-c", script, "sh", *below(rbinder, "sh", "-c", "/bin/true; exit 7")])
    assert done.status == 7


def test_nohup(rbinder: Rbinder, build: Build, tmp_path: Path) -> None:
    command = ["nohup", *below(rbinder, "sh", "-c", "echo ready; read line; echo $line")]
    with Conversation(command, tmp_path / "log", start_new_session=True) as program:
        program.wait_for("ready")
        os.killpg(program.process.pid, signal.SIGHUP)
        assert program.process.stdin is not None
        program.process.stdin.write(b"alive\n")
        program.process.stdin.flush()
        program.wait_for("alive")
        assert program.end() == 0
