"""Instructions that the agent adds to a call, and to a message: counted by callgrind, and the same in every run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from programs import BENCH, DEADLINE, ROOT, Failure, build, environment, rbinder

CALLS = 4000
KINDS = (
    ("boring", "write", "a write to what is no socket"),
    ("serve", "read", "a request's head read"),
    ("serve", "write", "its response written, with a body of 2 bytes"),
    ("call", "write", "a request's head written, with an insertion"),
    ("call", "read", "its response read"),
)
_LIBRARY = r"\[\S*agent-\w+\.so\]"


def _profile(directory: Path, calls: str, kind: str, sampler: str) -> str:
    """Which function took how many instructions, with all that it called, in the process that made the calls."""
    for old in directory.glob("callgrind.*"):
        old.unlink()
    script = f'exec valgrind --tool=callgrind --callgrind-out-file={directory}/callgrind.%p "$@"'
    done = subprocess.run(
        [*rbinder("-q", "-x", "otlp", "-e", "agent"), "/bin/sh", "-c", script, "sh", calls, kind, str(CALLS)],
        env=environment({"OTEL_TRACES_SAMPLER": sampler, "RBINDER_EXIT_TIMEOUT": "0"}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
    )
    profiles = sorted(directory.glob("callgrind.*"), key=lambda path: int(path.suffix[1:]))  # the parent's comes first
    if done.returncode or not profiles:
        raise Failure(f"callgrind doesn't count: {done.stderr[-500:]}")
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(profiles[0])]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout


def _inclusive(profile: str, function: str) -> float:
    """For one call; with the C library's own function, which is some 20 of them."""
    found = re.search(rf"^\s*([\d,]+) .*:{function} {_LIBRARY}", profile, re.MULTILINE)
    if found is None:
        raise Failure(f"callgrind has not seen {function}")
    return int(found[1].replace(",", "")) / CALLS


def measure(directory: Path) -> list[str]:
    """The lines to print."""
    if shutil.which("valgrind") is None:
        return ["valgrind is not installed"]
    calls = build(BENCH / "calls.c", directory)
    lines = []
    profiles = {
        (kind, sampler): _profile(directory, calls, kind, sampler)
        for kind in dict.fromkeys(kind for kind, _, _ in KINDS)
        for sampler in ("always_on", "always_off")
    }
    for kind, function, meaning in KINDS:
        sampled, unsampled = (_inclusive(profiles[kind, sampler], function) for sampler in ("always_on", "always_off"))
        lines.append(f"{sampled:7.0f}   {meaning}" + (f" ({unsampled:.0f} unsampled)" if kind != "boring" else ""))
    return lines
