"""A fixed rate for a minute: no failed request, and every span either delivered or counted as lost.

Run by itself: `python bench/sustained.py [RATE [SECONDS]]`; a rate of 0 is as fast as it goes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import BENCH, DEADLINE, TARGETS, Failure, Programs, build, free_port, rbinder
from receiver import Receiver

RATE, SECONDS = 10_000, 60
CONNECTIONS = 16
NAME = "sustained"


def measure(directory: Path, rate: int, seconds: int) -> list[str]:
    """The lines to print. Raises Failure where a request failed or a span is unaccounted for."""
    load = build(BENCH / "load.c", directory, "-static")
    server = build(TARGETS / "back.c", directory)
    receiver = Receiver()
    with Programs(directory) as programs:
        programs.callback(receiver.close)
        port = free_port()
        program = programs.start(
            [*rbinder("-x", "otlp", "-e", "agent"), server, str(port)],
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint(NAME),
            RBINDER_EXIT_TIMEOUT="120",
        )
        program.connection(port).close()
        command = [load, str(port), str(CONNECTIONS), str(seconds * 1000), *([str(rate)] if rate else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + DEADLINE)
        requests, elapsed, _ = (int(word) for word in done.stdout.split())
        delivered = receiver.take(NAME)  # what has waited; a stop is given less time than that may need
        said = program.stop()
        delivered += receiver.take(NAME)
    found = re.search(r"(\d+) spans? w(?:as|ere) lost", said)
    lost = int(found[1]) if found else 0
    if delivered + lost != requests:
        raise Failure(f"{requests} requests, but {delivered} spans came and {lost} were said to be lost: {said}")
    return [
        f"{requests} requests in {elapsed / 1e9:.1f} s ({requests / elapsed * 1e9:.0f} a second), none failed",
        f"{delivered} spans delivered + {lost} counted as lost = {requests} requests",
    ]


def main() -> int:
    """The exit status."""
    rate, seconds, *_ = [*(int(word) for word in sys.argv[1:]), *(RATE, SECONDS)[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory(prefix="rbinder-bench-") as name:
        try:
            lines = measure(Path(name), rate, seconds)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
