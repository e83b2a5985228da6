"""The load generators: wrk asks as fast as it is answered, vegeta at a fixed rate whatever the answers take."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from apps import go_command
from programs import BENCH, DEADLINE, Failure

WORKERS = 256  # requests of vegeta's that may be under way at once: where more would be, the rate isn't kept
_OPTIONS = [f"-max-workers={WORKERS}", "-workers=8", "-timeout=10s", "-format=http"]

# Ids count up, as a service's do; what came of it is told in one line.
_LUA = """
local number = 0
function request()
    number = number + 1
    return wrk.format(nil, "{path}?id=" .. number)
end
function done(summary, latency, requests)
    local e = summary.errors
    print(string.format('{{"requests": %d, "errors": %d, "microseconds": %d, "p50": %d, "p99": %d}}', summary.requests,
        e.connect + e.read + e.write + e.status + e.timeout, summary.duration, latency:percentile(50),
        latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one stretch of load came to; times in seconds. `requests` were answered well, `errors` were not.

    Of `calls` to the back, `linked` carried the trace of their own request, `wrong` that of another one.
    """

    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    calls: int = 0
    linked: int = 0
    wrong: int = 0


class Generators:
    """Both, installed. Raises Failure, BuildFailed where one can't be had."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._wrk, self._vegeta = _wrk(), _vegeta(directory)

    def versions(self) -> dict[str, str]:
        """As they say it themselves; of vegeta, as it is pinned."""
        said = subprocess.run([self._wrk, "--version"], capture_output=True, text=True, timeout=DEADLINE).stdout
        pinned = next(
            line for line in (BENCH / "vegeta" / "go.mod").read_text().splitlines() if "tsenart/vegeta" in line
        )
        return {"wrk": said.split()[1] if len(said.split()) > 1 else "", "vegeta": pinned.split()[-1]}

    def saturate(self, port: int, path: str, connections: int, seconds: float) -> Load:
        """As fast as it goes, on so many kept connections, each waiting for its answer."""
        script = self._directory / f"{path.strip('/')}.lua"
        script.write_text(_LUA.format(path=path))
        # wrk takes whole seconds alone, so it's told when to stop by a signal, upon which it reports as ever
        command = [
            "timeout",
            "-s",
            "INT",
            f"{seconds}",
            self._wrk,
            "-t1",
            f"-c{connections}",
            f"-d{seconds + DEADLINE:.0f}s",
        ]
        command += ["--timeout=10s", "-s", str(script), f"http://127.0.0.1:{port}{path}"]
        done = _run(command, seconds)
        told = next((line for line in done.splitlines() if line.startswith('{"')), "")
        if not told:
            raise Failure(f"wrk tells nothing: {done[-300:]}")
        numbers = json.loads(told)
        answered = numbers["requests"] - numbers["errors"]
        if answered <= 0:
            raise Failure(f"no request was answered in {seconds:.1f} s, {numbers['errors']} failed")
        took = numbers["microseconds"] / 1e6
        return Load(answered, numbers["errors"], took, numbers["p50"] / 1e6, numbers["p99"] / 1e6)

    def attack(self, port: int, path: str, rate: int, seconds: float) -> Load:
        """So many requests a second, each with a trace of its own, which the back should be told of."""
        count = max(1, round(rate * seconds))
        traces = [os.urandom(16).hex() for _ in range(count)]
        targets, results = self._directory / "targets", self._directory / "results"
        targets.write_text("".join(_target(port, path, number, trace) for number, trace in enumerate(traces)))
        attack = [self._vegeta, "attack", *_OPTIONS, f"-rate={rate}", f"-duration={count / rate}s"]
        _run([*attack, f"-targets={targets}", f"-output={results}"], seconds)
        told = _run([self._vegeta, "encode", "-to=csv", str(results)], seconds)
        return judged(list(csv.reader(told.splitlines())), traces)


def _target(port: int, path: str, number: int, trace: str) -> str:
    return f"GET http://127.0.0.1:{port}{path}?id={number}\nTraceparent: 00-{trace}-{number + 1:016x}-01\n\n"


def judged(rows: list[list[str]], traces: list[str]) -> Load:
    """What vegeta's results come to: when (ns), status, latency (ns), ..., the error, the body as base64."""
    if not rows:
        raise Failure("vegeta has sent nothing")
    answered = [row for row in rows if row[1] == "200"]
    latencies = sorted(int(row[2]) / 1e9 for row in answered)
    if not latencies:
        raise Failure(f"no request was answered: {rows[0][5] or rows[0][1]}")
    began, end = min(int(row[0]) for row in rows), max(int(row[0]) + int(row[2]) for row in rows)
    calls, linked, wrong = links((base64.b64decode(row[6]) for row in answered), traces)
    p50, p99 = (latencies[int((len(latencies) - 1) * share)] for share in (0.5, 0.99))
    return Load(len(latencies), len(rows) - len(latencies), (end - began) / 1e9, p50, p99, calls, linked, wrong)


def links(answers: Iterable[bytes], traces: list[str]) -> tuple[int, int, int]:
    """Of the back's answers: how many there are, and how many carried their own request's trace, or another's."""
    calls, linked, wrong, known = 0, 0, 0, set(traces)
    for answer in answers:
        if not answer.startswith(b"{"):
            continue  # "hello" is answered without a call
        told = json.loads(answer)
        trace = told["traceparent"][3:35]  # 00-TRACE-...; "" without one
        calls += 1
        linked += trace == traces[int(told["id"])]
        wrong += trace in known and trace != traces[int(told["id"])]
    return calls, linked, wrong


def _run(command: list[str], seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * DEADLINE)
    if done.returncode not in (0, 124):  # 124: timeout has ended it, as it should
        raise Failure(f"{' '.join(command[:6])} ...: {done.stderr[-300:] or done.stdout[-300:]}")
    return done.stdout


def _wrk() -> str:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Failure("wrk is not installed: install Debian's package wrk")
    return wrk


def _vegeta(directory: Path) -> str:
    """Built from the Go module that is pinned beside this file."""
    vegeta = directory / "vegeta"
    if vegeta.exists():
        return str(vegeta)
    print("building vegeta", file=sys.stderr, flush=True)
    command = [go_command(directory), "build", "-o", str(vegeta), "github.com/tsenart/vegeta/v12"]
    done = subprocess.run(command, cwd=BENCH / "vegeta", capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise Failure(f"vegeta can't be built: {done.stderr[-500:]}")
    return str(vegeta)
