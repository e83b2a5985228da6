"""However a program ends or fails to start, rbinder ends with the status that it has by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Rbinder
from processes import UNFILTERED, UNSENT, below, run, same

STATUSES = [0, 1, 2, 3, 63, 64, 77, 100, *range(124, 131), 137, 143, 192, 254, 255]
NOT_DEADLY = {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
    signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
}  # fmt: skip
DEADLY = sorted(int(number) for number in signal.valid_signals() if number not in NOT_DEADLY and number <= 31)


def statuses(commands: Iterable[list[str]]) -> list[int]:
    with ThreadPoolExecutor(4) as pool:
        return [done.status for done in pool.map(run, commands)]


def test_exit_statuses(rbinder: Rbinder) -> None:
    assert statuses(below(rbinder, "sh", "-c", f"exit {status}") for status in STATUSES) == STATUSES


def test_deaths_by_signal(rbinder: Rbinder) -> None:
    numbers = [*DEADLY, int(signal.SIGRTMIN), int(signal.SIGRTMIN) + 3, int(signal.SIGRTMAX)]
    commands = (below(rbinder, "sh", "-c", f"ulimit -c 0; kill -{number} $$") for number in numbers)
    assert statuses(commands) == [128 + number for number in numbers]


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED])
def test_a_pipeline_ends_as_its_shell_says(options: tuple[str, ...], rbinder: Rbinder) -> None:
    script = "false | sh -c 'kill -9 $$'; echo $?; (exit 9) & wait $!"
    assert same(rbinder, "sh", "-c", script, options=options).status == 9


def test_no_such_command(rbinder: Rbinder) -> None:
    for command in ("rbinder-has-no-such-command", "./missing", "/missing/program"):
        done = run(below(rbinder, command))
        assert (done.status, len(done.remarks)) == (127, 1)
        assert command in done.remarks[0]


def test_commands_that_cannot_be_executed(rbinder: Rbinder, tmp_path: Path) -> None:
    plain, garbage = tmp_path / "plain", tmp_path / "garbage"
    plain.write_text("data")
    garbage.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    garbage.chmod(0o755)
    for path in (plain, tmp_path):
        done = run(below(rbinder, str(path)))
        assert (done.status, len(done.remarks)) == (126, 1)
    # what execvp(3) takes for a script without an interpreter line is the shell's to judge
    assert same(rbinder, "sh", "-c", str(garbage)).status in (2, 126, 127)


def test_a_missing_interpreter(rbinder: Rbinder, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/missing/interpreter\n")
    script.chmod(0o755)
    done = run(below(rbinder, str(script)))
    assert (done.status, len(done.remarks)) == (127, 1)


def test_a_script_without_an_interpreter_line(rbinder: Rbinder, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0" "$@"; exit 44\n')
    script.chmod(0o755)
    done = run(below(rbinder, str(script), "one", "two words"))
    assert done.visible == (44, f"{script} one two words\n", "")


def test_a_command_is_found_on_the_path(rbinder: Rbinder, tmp_path: Path) -> None:
    for name, status in (("first", 0), ("second", 12)):
        (tmp_path / name).mkdir()
        command = tmp_path / name / "command"
        command.write_text(f"#!/bin/sh\nexit {status}\n")
        command.chmod(0o755 if status else 0o644)
    path = f"{tmp_path}/first:{tmp_path}/second:/usr/bin:/bin"
    assert run(below(rbinder, "command"), {"PATH": path}).status == 12
