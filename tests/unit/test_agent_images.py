"""What the agent can be loaded into, by the executable's own bytes, and what goes along in the environment."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rbinder import agent
from rbinder.agent import choice, place
from rbinder.agent.canary import SAME, Canary
from rbinder.agent.carried import carrying
from rbinder.agent.images import inspect
from rbinder.errors import EngineUnavailable

Compile = Callable[..., str]
SHELL = shutil.which("sh") or ""


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    source = tmp_path / "program.c"
    source.write_text("int main(void) { return 0; }\n")

    def build(*flags: str) -> str:
        out = str(tmp_path / "program")
        subprocess.run(["gcc", *flags, "-o", out, str(source)], check=True, timeout=60)
        return out

    return build


def script(tmp_path: Path, first: str, name: str = "script") -> str:
    path = tmp_path / name
    path.write_text(f"{first}\nexit 0\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("flags", [("-pie",), ("-no-pie",)])
def test_dynamically_linked(flags: tuple[str, ...], compiled: Compile) -> None:
    image = inspect(compiled(*flags))
    assert image.suits
    assert image.sentence == f"{image.file} is dynamically linked"
    assert image.untraced == ""


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie",)])
def test_statically_linked(flags: tuple[str, ...], compiled: Compile) -> None:
    image = inspect(compiled(*flags))
    assert (image.suits, image.harmless) == (False, True)
    assert image.untraced == f"{image.file} is statically linked: it runs untraced (engine agent; -e ptrace traces it)"


def test_a_sanitizer_wants_to_be_first(compiled: Compile) -> None:
    image = inspect(compiled("-fsanitize=address"))
    assert (image.suits, image.harmless) == (False, False)
    assert "libasan" in image.sentence


def test_another_machine_and_another_size(compiled: Compile, tmp_path: Path) -> None:
    data = bytearray(Path(compiled()).read_bytes())
    other = tmp_path / "other"
    other.write_bytes(bytes(data[:18]) + struct.pack("<H", 243) + bytes(data[20:]))
    assert "built for another machine" in inspect(str(other)).sentence
    other.write_bytes(bytes(data[:4]) + b"\1" + bytes(data[5:]))
    assert "32-bit" in inspect(str(other)).sentence
    assert "ptrace" not in inspect(str(other)).untraced


@pytest.mark.parametrize("size", [0, 3, 5, 40, 64, 100, 600])
def test_half_a_file_is_no_program(size: int, compiled: Compile, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.write_bytes(Path(compiled()).read_bytes()[:size])
    image = inspect(str(half))
    assert image.suits is (size < 4)  # then the shell reads it
    assert image.sentence


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert "can't be looked at (No such file" in inspect(str(tmp_path / "missing")).sentence


LINES = [f"#!{SHELL}", f"#! {SHELL} -e", f"#!\t{SHELL}\t", "echo no interpreter", "#!", "# text"]


@pytest.mark.parametrize("line", LINES)
def test_scripts_are_followed(line: str, tmp_path: Path) -> None:
    image = inspect(script(tmp_path, line))
    assert image.suits
    assert os.path.basename(image.file) in ("sh", os.path.basename(os.path.realpath(SHELL)))


def test_scripts_of_scripts(tmp_path: Path, compiled: Compile) -> None:
    path = compiled("-static")
    for number in range(4):
        path = script(tmp_path, f"#!{path}", str(number))
    assert "is statically linked" in inspect(path).sentence
    path = script(tmp_path, f"#!{path}", "last")
    assert "too many interpreters" in inspect(path).sentence


def test_auto_takes_what_suits(compiled: Compile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = tmp_path / "agent.so"
    built.write_bytes(b"")
    monkeypatch.setattr(agent, "library", lambda: built)
    monkeypatch.setattr(agent, "reader", lambda: built)
    assert choice.choose("auto", compiled()).engine == "agent"
    assert choice.choose("ptrace", compiled()).engine == "ptrace"
    static = compiled("-static")
    chosen = choice.choose("auto", static)
    assert (chosen.engine, chosen.reason, chosen.untraced) == ("ptrace", f"{static} is statically linked", "")
    chosen = choice.choose("agent", static)
    assert chosen.engine == "agent"
    assert chosen.place is not None  # for what it starts
    assert "runs untraced" in chosen.untraced


def test_without_the_agent_there_is_ptrace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "library", lambda: None)
    chosen = choice.choose("auto", SHELL)
    assert chosen.engine == "ptrace"
    assert "the agent was not built for this machine" in chosen.reason
    with pytest.raises(EngineUnavailable, match="install a C compiler"):
        choice.choose("agent", SHELL)


def test_a_place_that_the_loader_can_name(tmp_path: Path) -> None:
    folder = tmp_path / "a folder: two"
    folder.mkdir()
    library = folder / "agent.so"
    library.write_bytes(b"library")
    found = place.find(library)
    assert found is not None
    assert found.made
    assert not set(found.path) & set(": ")
    assert Path(found.path).read_bytes() == b"library"
    assert os.stat(found.made).st_mode & 0o777 == os.stat(found.path).st_mode & 0o777 == 0o755
    found.remove()
    assert not os.path.exists(found.made)
    assert library.exists()


def test_the_environments_end() -> None:
    token = bytes(range(16))
    text = f"7.5.{token.hex()}."
    assert list(carrying({b"A": b"1", b"B": b"2"}, "/l/agent.so", 7, 5, token).items()) == [
        (b"A", b"1"),
        (b"B", b"2"),
        (b"LD_PRELOAD", b"/l/agent.so"),
        (b"RBINDER_AGENT", f"{text}/l/agent.so".encode()),
    ]
    own = {b"A": b"1", b"LD_PRELOAD": b"/own.so", b"RBINDER_AGENT": b"old", b"B": b"2"}
    assert list(carrying(own, "/l/agent.so", 7, 5, token).items())[1:] == [
        (b"B", b"2"),
        (b"LD_PRELOAD", b"/own.so:/l/agent.so"),
        (b"RBINDER_AGENT", f"{text}1./l/agent.so".encode()),
    ]


TERM, SENDER, OTHER = (15, 0, 20), 20, 30


def test_a_signal_for_the_group_is_no_news() -> None:
    now = [100.0]
    canary = Canary(lambda: now[0])
    assert canary.is_news(TERM)  # for the launcher alone
    canary.sent(TERM)
    assert canary.is_news((15, 0, OTHER))
    assert canary.is_news((1, 0, SENDER))
    assert not canary.is_news(TERM)
    assert canary.is_news(TERM)  # a second one, for the launcher
    canary.sent(TERM)
    now[0] += SAME + 1
    assert canary.is_news(TERM)
