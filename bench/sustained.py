"""As fast as it goes for a minute: no failed request, and every span either delivered or counted as lost.

Run by itself: `python bench/sustained.py [SECONDS]`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ecosystems import BuildFailed
from loads import Generators
from programs import BENCH, ROOT, Failure, Programs, build, free_port, rbinder
from receiver import Receiver

SECONDS = 60
CONNECTIONS = 16
NAME = "sustained"


def measure(directory: Path, seconds: int) -> list[str]:
    """The lines to print. Raises Failure where a request failed or a span is unaccounted for."""
    server = build(BENCH / "apps" / "c" / "back.c", directory)
    generators, receiver = Generators(ROOT / "build" / "bench"), Receiver()
    with Programs(directory) as programs:
        programs.callback(receiver.close)
        port = free_port()
        program = programs.start(
            [*rbinder("-x", "otlp", "-e", "agent"), server, str(port)],
            port,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint(NAME),
            RBINDER_EXIT_TIMEOUT="120",
        )
        load = generators.saturate(port, "/leaf", CONNECTIONS, seconds)
        delivered = receiver.take(NAME)  # what has waited; a stop is given less time than that may need
        said = program.stop()
        delivered += receiver.take(NAME)
    found = re.search(r"(\d+) spans? w(?:as|ere) lost", said)
    lost = int(found[1]) if found else 0
    if load.errors or not 0 <= delivered + lost - load.requests <= CONNECTIONS:
        raise Failure(
            f"{load.requests} requests and {load.errors} failed ones, but {delivered} spans came and {lost} were said "
            f"to be lost: {said}"
        )
    return [
        f"{load.requests} requests in {load.seconds:.1f} s ({load.requests / load.seconds:.0f} a second), none failed",
        f"{delivered} spans delivered + {lost} counted as lost: all of them, and those of requests cut off at the end",
    ]


def main() -> int:
    """The exit status."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory(prefix="rbinder-bench-") as name:
        try:
            lines = measure(Path(name), seconds)
        except (Failure, BuildFailed, OSError, subprocess.SubprocessError) as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
