"""Measures rbinder against the same programs untouched, under strace and with their own OpenTelemetry instrumentation.

`make bench` runs it, in about a quarter of an hour; ARGS=C,Node measures those pairs alone.

Ratios to the untouched program come first: absolute figures tell of the machine. The first line of each comparison is
the untouched program against itself: how much of a difference is noise.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import instructions
import memory
import startup
import stops
import throughput
from pairs import Pair, available
from peers import Peers
from programs import BENCH, ROOT, TARGETS, Failure, Programs, build, free_port
from receiver import Receiver


def section(title: str, lines: Iterable[str]) -> None:
    """Print a heading, and lines as they come."""
    print(f"\n{title}", flush=True)
    for line in lines:
        print(line, flush=True)


def compare(directory: Path, pair: Pair, back: int, receiver: Receiver, load: str) -> None:
    """Throughput of one pair, and the memory of its rbinder."""
    peers = Peers(ROOT / "build" / "peers")
    with Programs(directory) as programs:
        fronts = throughput.start(programs, pair, back, receiver, peers)
        for connections in throughput.CONNECTIONS:
            plural = "s" if connections > 1 else ""
            title = f"{pair.name} front, {connections} connection{plural}, relative to untouched"
            section(title, [throughput.HEADING])
            for line in throughput.compare(load, fronts, connections, receiver):
                print(line, flush=True)
        for way in (throughput.AGENT, throughput.PTRACE):
            section(
                f"Memory of rbinder ({way}) under the {pair.name} front, after this", memory.measure(fronts[way].roles)
            )


def measure(directory: Path, programs: Programs, wanted: list[str]) -> None:
    """Everything, in the order in which it is printed."""
    back = free_port()
    programs.start([build(TARGETS / "back.c", directory, "-static"), str(back)], back)
    load, receiver = build(BENCH / "load.c", directory, "-static"), Receiver()
    programs.callback(receiver.close)
    pairs = [pair for pair in available(directory) if not wanted or pair.name in wanted]
    section("Stops for one proxied request on kept connections (counted)", stops.measure(programs, pairs, back))
    section("Instructions of the agent (counted)", instructions.measure(directory))
    section("Start of a program below rbinder", startup.measure(directory))
    for pair in pairs:
        compare(directory, pair, back, receiver, load)


def main() -> int:
    """The exit status."""
    began = time.monotonic()
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="rbinder-bench-") as name:
        directory = Path(name)
        try:
            with Programs(directory) as programs:
                measure(directory, programs, [word for argument in sys.argv[1:] for word in argument.split(",")])
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
