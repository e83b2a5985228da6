"""The command as its user meets it: what it prints, its exit status, how little it loads to start."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

import rbinder
from rbinder import cli
from rbinder.config import Config
from rbinder.errors import CommandNotFound, EngineUnavailable

Capture = pytest.CaptureFixture[str]
Launch = Callable[[Callable[[Config], int]], None]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "RBINDER_")):
            monkeypatch.delenv(name)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Put a function in the launcher's place, so that only the command line is under test."""

    def replace(run: Callable[[Config], int]) -> None:
        launcher = types.ModuleType("rbinder.launcher")
        launcher.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "rbinder.launcher", launcher)
        monkeypatch.setattr(rbinder, "launcher", launcher, raising=False)

    return replace


def run_python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, text=True, capture_output=True, timeout=30, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_version(capfd: Capture) -> None:
    assert cli.main(["--version"]) == 0
    assert capfd.readouterr() == (f"rbinder {rbinder.__version__}\n", "")


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["-v", "--help", "--no-such-option"]])
def test_help_fits_one_screen_and_names_every_option(words: list[str], capfd: Capture) -> None:
    from rbinder.options import FLAGS, VALUED

    assert cli.main(words) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert all(f"--{name}" in out for name in FLAGS | VALUED)
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 80


def test_the_environment_can_not_keep_help_away(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBINDER_ENGINE", "gone")
    assert cli.main(["--help"]) == 0
    assert capfd.readouterr().out == cli.HELP


def test_the_launcher_gets_the_config_and_gives_the_status(launch: Launch, capfd: Capture) -> None:
    seen: list[Config] = []

    def run(config: Config) -> int:
        seen.append(config)
        return 37

    launch(run)
    assert cli.main(["-x", "none", "-s", "shop", "ls", "-l"]) == 37
    assert [(config.command, config.service_name, config.exporters) for config in seen] == [(("ls", "-l"), "shop", ())]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [CommandNotFound("no such command: x"), EngineUnavailable("ptrace is denied")])
def test_an_error_is_one_sentence_and_its_status(launch: Launch, capfd: Capture, error: CommandNotFound) -> None:
    def run(config: Config) -> int:
        raise error

    launch(run)
    assert cli.main(["x"]) == error.status
    assert capfd.readouterr() == ("", f"rbinder: {error}\n")


def test_an_interrupt_shows_no_traceback(launch: Launch, capfd: Capture) -> None:
    def run(config: Config) -> int:
        raise KeyboardInterrupt

    launch(run)
    assert cli.main(["x"]) == 130
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("words", [[], ["--nonsense", "x"], ["-e", "nonsense", "x"]])
def test_wrong_usage_is_status_2_and_one_line(words: list[str], capfd: Capture) -> None:
    assert cli.main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("rbinder: ")
    assert err.count("\n") == 1


def test_warnings_take_a_line_each_unless_quiet(
    launch: Launch, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(lambda config: 0)
    monkeypatch.setenv("OTEL_PROPAGATORS", "jaeger,\nxray")
    assert cli.main(["x"]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert [line.startswith("rbinder: OTEL_PROPAGATORS names '") for line in lines] == [True, True]
    assert cli.main(["-q", "x"]) == 0
    assert capfd.readouterr().err == ""


def test_a_message_may_hold_bytes_that_are_no_text(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    cli.say(f"no such command: {os.fsdecode(b'caf' + bytes([0xE9]))}")
    assert capfdbinary.readouterr().err == b"rbinder: no such command: caf\xe9\n"


def test_a_closed_stderr_takes_nothing_down() -> None:
    code = "import os, sys; os.close(2); from rbinder import cli; sys.exit(cli.main(['--nonsense']))"
    assert run_python(code).returncode == 2


def test_a_reader_that_left_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "rbinder", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_start_loads_nothing_heavy() -> None:
    heavy = "argparse ctypes opentelemetry google grpc h11 psutil ptrace json socket subprocess urllib rbinder.check"
    code = f"import rbinder.cli; print(*(name for name in {heavy.split()!r} if name in set(sys.modules) - before))"
    done = run_python(f"import sys; before = set(sys.modules); {code}", env=dict(os.environ))
    assert (done.stdout.split(), done.stderr) == ([], "")
