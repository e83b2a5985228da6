"""The agent's scanners against the Python ones on random streams; RBINDER_FUZZ_SECONDS lengthens it."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.wire_cases import CASES
from native import build
from native.http import SOURCES, Both, build_driver
from native.streams import reduced, run

ROUNDS = 100  # between two looks at the clock


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    pair = Both(build_driver(tmp_path_factory.mktemp("http"), "clang"))
    yield pair
    assert pair.close() == 0


def test_random_streams(both: Both) -> None:
    end = time.monotonic() + float(os.environ.get("RBINDER_FUZZ_SECONDS", "0")) / 2
    seed = int(os.environ.get("RBINDER_FUZZ_SEED", "0"))
    rounds = 0
    while rounds < 30 * ROUNDS or time.monotonic() < end:
        for _ in range(ROUNDS):
            run(random.Random(f"stream {seed} {rounds}"), both)
            rounds += 1
        both.check()


def test_random_heads_reduced(both: Both) -> None:
    both.new(False)
    for number in range(5000):
        reduced(random.Random(f"head {number}"), both)
        both.history.clear()
    both.check()


def test_any_bytes_are_survived(tmp_path: Path) -> None:
    """libFuzzer's own findings, from the wire cases on, with sanitizers and the checks of the target."""
    flags = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-DRBINDER_HOSTED")
    sources = ["fuzz_http.c", *(name for name in SOURCES if name not in ("http_driver.c", "memory_twin.c"))]
    target = build(sources, tmp_path / "fuzz", flags, "clang")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, case in enumerate(CASES):
        if not case.large:
            way = b"\x51\x03\x01" if case.direction == "response" else b"\x50\x03\x01"
            (corpus / str(number)).write_bytes(way + case.wire)
    seconds = float(os.environ.get("RBINDER_FUZZ_SECONDS", "0")) / 2
    limit = f"-max_total_time={seconds:.0f}" if seconds else "-runs=50000"
    command = [target, limit, "-max_len=3000", "-seed=1", corpus]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
