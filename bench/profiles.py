"""Where the CPU time of a program and of the tool beside it goes: perf for machine code, py-spy for Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fronts import Front
from model import PTRACE
from programs import DEADLINE, Failure

FREQUENCY = 1999  # perf's samples a second and CPU
_LINES = 14


def profile(front: Front, directory: Path, seconds: int, load: Callable[[float], object]) -> Iterator[tuple[str, str]]:
    """("program", text) and ("tool", text), each from a stretch of load of its own. What can't be had is left out."""
    for whose, take in (("program", _machine_code), ("tool", _python)):
        asking = threading.Thread(target=_quietly, args=(load, seconds + 1.0))
        asking.start()
        try:
            text = take(front, directory, seconds)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            print(f"no profile of the {whose}, {front.variant}: {failure}", file=sys.stderr)
        else:
            yield whose, text
        finally:
            asking.join()


def _quietly(load: Callable[[float], object], seconds: float) -> None:
    try:
        load(seconds)
    except Failure as failure:
        print(f"the load of a profile: {failure}", file=sys.stderr)


def _machine_code(front: Front, directory: Path, seconds: int) -> str:
    """The program's functions by the samples in them. The clock of the CPU is there in virtual machines, too."""
    data = directory / "perf.data"
    said([*recording(data, front.pids("program")), "--", "sleep", str(seconds)])
    report = ["perf", "report", "-q", "--stdio", "-i", str(data), "--percent-limit", "0.05"]
    libraries = _rows(said([*report, "--sort", "dso"]))[:6]
    functions = _rows(said([*report, "--sort", "dso,symbol"]))
    ours = [row for row in functions if "agent-" in row][:8]
    lines = ["by library:", *libraries, "", "by function:", *functions[:_LINES]]
    return "\n".join([*lines, "", "in the agent:", *ours] if ours else lines)


def recording(data: Path, pids: Sequence[int]) -> list[str]:
    """The command that samples these processes. Raises Failure where perf can't be had."""
    if shutil.which("perf") is None:
        raise Failure("perf is not installed")
    whose = ",".join(map(str, pids))
    return ["perf", "record", "-q", "-F", str(FREQUENCY), "-e", "cpu-clock", "-o", str(data), "-p", whose]


def _rows(text: str) -> list[str]:
    return [re.sub(r"[\s-]*$", "", line.strip()) for line in text.splitlines() if re.match(r"\s+\d+\.\d+%", line)]


def _python(front: Front, directory: Path, seconds: int) -> str:
    """The functions of rbinder's busiest process, by the samples in them alone, and with what they call."""
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise Failure("py-spy is not installed")
    [role] = [role for role in front.roles if role.name == ("tracer" if front.variant == PTRACE else "collector")]
    out = directory / "spied"
    said([str(spy), "record", "-d", str(seconds), "-r", "500", "-f", "raw", "-o", str(out), "-p", str(role.pid)])
    return f"rbinder's {role.name}:\n{summary(out.read_text())}"


def summary(raw: str) -> str:
    """Of py-spy's lines "frame;frame;... count": the functions in which most samples ended, and the share of each."""
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        alone[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    total = sum(alone.values())
    if not total:
        raise Failure("it was never seen at work")
    lines = ["  alone  in all"]
    lines += [
        f"{alone[name] / total:7.1%} {within[name] / total:7.1%}  {name}" for name, _ in alone.most_common(_LINES)
    ]
    return "\n".join(lines)


def said(command: list[str]) -> str:
    """What it prints. Raises Failure, TimeoutExpired."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE)
    if done.returncode:
        raise Failure(f"{command[0]}: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout
