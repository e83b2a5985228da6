"""Measures rbinder against the same programs untouched and under strace. `make bench` runs it; it takes two minutes.

Ratios to the untouched program come first: absolute figures tell of the machine. The first line of each comparison is
the untouched program against itself: how much of a difference is noise.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import memory
import startup
import stops
import throughput
from pairs import Pair, available
from programs import BENCH, TARGETS, Failure, Programs, build, free_port


class Receiver(BaseHTTPRequestHandler):
    """Takes spans as an OTLP endpoint does, and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def receive(programs: Programs) -> str:
    """Start an endpoint for spans; returns its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    programs.callback(server.server_close)
    programs.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def section(title: str, lines: Iterable[str]) -> None:
    """Print a heading, and lines as they come."""
    print(f"\n{title}", flush=True)
    for line in lines:
        print(line, flush=True)


def compare(directory: Path, pair: Pair, back: int, endpoint: str, load: str) -> None:
    """Throughput of one pair, and the memory of its rbinder."""
    with Programs(directory) as programs:
        fronts = throughput.start(programs, pair, back, endpoint)
        for connections in throughput.CONNECTIONS:
            plural = "s" if connections > 1 else ""
            title = f"{pair.name} front, {connections} connection{plural}, relative to untouched"
            section(title, [throughput.HEADING])
            for line in throughput.compare(load, fronts, connections):
                print(line, flush=True)
        processes = fronts[throughput.RBINDER].roles
        section(f"Memory of rbinder under the {pair.name} front, after this", memory.measure(processes))


def measure(directory: Path, programs: Programs) -> None:
    """Everything, in the order in which it is printed."""
    back = free_port()
    programs.start([build(TARGETS / "back.c", directory), str(back)], back)
    load, endpoint = build(BENCH / "load.c", directory), receive(programs)
    pairs = available(directory)
    section("Stops for one proxied request on kept connections (counted)", stops.measure(programs, pairs, back))
    section("Start of a program below rbinder", startup.measure(directory))
    for pair in pairs:
        compare(directory, pair, back, endpoint, load)


def main() -> int:
    """The exit status."""
    began = time.monotonic()
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="rbinder-bench-") as name:
        directory = Path(name)
        try:
            with Programs(directory) as programs:
                measure(directory, programs)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
