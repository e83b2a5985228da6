"""Runs one row with one engine, and counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import DEADLINE, ROOT, clean_environment, free_port, listens

from attribution.rows import Row
from attribution.traffic import CONNECTIONS, Back, Load, Verdicts

STARTS = 4 * DEADLINE  # seconds: a virtual machine, with an engine that stops it at each call


class DidNotStart(Exception):
    """The front doesn't listen, or has ended before it did; the text says what it said."""


def measure(
    row: Row,
    engine: str,
    count: int,
    seed: int = 1,
    connections: int = CONNECTIONS,
    options: tuple[str, ...] = (),
    disconnect: bool = False,
) -> Verdicts:
    """Start the row's front under rbinder (`engine` "": without) and load it. Raises DidNotStart."""
    return asyncio.run(_measure(row, engine, count, seed, connections, options, disconnect))


async def _measure(
    row: Row, engine: str, count: int, seed: int, connections: int, options: tuple[str, ...], disconnect: bool
) -> Verdicts:
    back = Back(seed, disconnect)
    await back.start()
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory) / "said"
        prefix = [sys.executable, "-m", "rbinder", "-q", "-x", "none", "-e", engine, *options, "--"] if engine else []
        with said.open("wb") as file:
            process = subprocess.Popen(
                [*prefix, *row.command(port, back.port)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=ROOT,
                env=clean_environment() | row.environment,
                start_new_session=True,  # some servers signal their whole process group
            )
        try:
            await _listening(process, port, said)
            load = Load(port, row.shapes, count, seed, connections, disconnect)
            await load.run()
            await back.stop()
        finally:
            _end(process)
    back.verdicts.failed = load.failed
    return back.verdicts


async def _listening(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = asyncio.get_running_loop().time() + STARTS
    while not listens(port):
        if process.poll() is not None or asyncio.get_running_loop().time() > end:
            raise DidNotStart(said.read_text(errors="replace")[-2000:])
        await asyncio.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # some leave their workers behind
