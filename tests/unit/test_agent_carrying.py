"""The agent's strings in an environment, and its judgement of executables, under sanitizers."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from native import SANITIZED, build

FUZZ_SECONDS = float(os.environ.get("RBINDER_FUZZ_SECONDS", "1"))
SOURCES = ("exec_driver.c", "images.c", "memory.c", "readable.c")


@pytest.fixture(scope="module", params=["gcc", "clang"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("driver") / "exec_driver"
    return build(SOURCES, out, (*SANITIZED, "-DRBINDER_HOSTED"), request.param)


class Judge:
    """Asks the driver about one file after another."""

    def __init__(self, driver: Path) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([driver, "images"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def judge(self, path: Path) -> tuple[bool, str]:
        """(may it carry the agent, what is said of it)"""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        verdict, _, remark = self._process.stdout.readline().rstrip("\n").partition(" ")
        assert verdict, self.end()
        return verdict == "1", remark.removeprefix(str(path)).partition(":")[0]

    def end(self) -> str:
        _, complaint = self._process.communicate(timeout=30)
        return complaint


@pytest.fixture
def judge(driver: Path) -> Iterator[Judge]:
    judge = Judge(driver)
    yield judge
    assert judge.end() == ""


def test_environments_come_out_as_they_went_in(driver: Path) -> None:
    end, seed = time.monotonic() + FUZZ_SECONDS, 0
    while seed == 0 or time.monotonic() < end:
        done = subprocess.run([driver, "round", str(seed), "3000"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "3000\n", ""), f"seed {seed}"
        seed += 1


def built(out: Path, *flags: str) -> Path:
    source = out.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", *flags, "-o", out, source], check=True, timeout=60)
    return out


def test_judgements(judge: Judge, tmp_path: Path) -> None:
    static, preloads = " is statically linked", " is built with a sanitizer, which forbids preloading"
    expected: dict[Path, tuple[bool, str]] = {
        built(tmp_path / "ordinary"): (True, ""),
        built(tmp_path / "unrelocated", "-no-pie"): (True, ""),
        built(tmp_path / "static", "-static"): (True, static),
        built(tmp_path / "static-pie", "-static-pie"): (True, static),
        built(tmp_path / "stripped", "-static", "-s"): (True, static),
        built(tmp_path / "asan", "-fsanitize=address"): (False, preloads),
        built(tmp_path / "tsan", "-fsanitize=thread"): (False, preloads),
        built(tmp_path / "ubsan", "-fsanitize=undefined"): (True, ""),
        tmp_path / "missing": (True, ""),
        tmp_path: (True, ""),
    }
    foreign = bytearray((tmp_path / "ordinary").read_bytes())
    foreign[18] ^= 1  # e_machine
    (tmp_path / "foreign").write_bytes(foreign)
    (tmp_path / "foreign").chmod(0o755)
    expected[tmp_path / "foreign"] = (False, " is built for another machine")
    assert {path: judge.judge(path) for path in expected} == expected


def test_scripts(judge: Judge, tmp_path: Path) -> None:
    """The judgement is that of what interprets them."""
    static = built(tmp_path / "static", "-static")
    lines = {
        "plain": f"#!{static}\n",
        "spaced": f"#! \t{static} -x\n",
        "unended": f"#!{static}",
        "nested": f"#!{tmp_path}/plain\n",
        "loop": f"#!{tmp_path}/loop\n",
        "nothing": "#!\n",
        "blank": "#!   \n",
        "long": "#!/" + "x" * 300 + "\n",
        "text": "echo\n",
        "empty": "",
    }
    for name, text in lines.items():
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)
        carries, remark = judge.judge(path)
        assert carries
        assert not remark or remark == f"{static} is statically linked"


def test_damaged_files(judge: Judge, tmp_path: Path) -> None:
    """No file makes it read outside, or for long."""
    random.seed(7)
    kinds = [
        built(tmp_path / "ordinary"),
        built(tmp_path / "asan", "-fsanitize=address"),
        Path(shutil.which("go") or "/bin/sh"),
    ]
    originals = [path.read_bytes()[: 1 << 16] for path in kinds]
    damaged = tmp_path / "damaged"
    damaged.touch(0o755)
    end, rounds = time.monotonic() + FUZZ_SECONDS, 0
    while rounds < 200 or time.monotonic() < end:
        data = bytearray(random.choice(originals)[: random.choice((64, 256, 4096, 1 << 16))])
        for _ in range(random.randrange(1, 12)):
            start = random.choice((0, 64, 64, 1024, len(data)))
            at = min(start + random.randrange(512), len(data) - 8)
            data[at : at + random.choice((1, 8))] = random.randbytes(random.choice((1, 8)))
        damaged.write_bytes(data)
        judge.judge(damaged)
        rounds += 1
