"""Runs the shop under rbinder, sends it requests, and shows one of them as a trace through all three services.

Exits 0 only if each request really is one linked trace. Everything started here is ended here.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SHOP = Path(__file__).resolve().parent
DEADLINE = 60.0  # seconds for each wait: a Java program compiles itself first
POLL = 0.05  # seconds between two looks
ITEMS = ("tea", "coffee", "cups")
CHAIN = [
    ("storefront", "SERVER"),
    ("storefront", "CLIENT"),
    ("inventory", "SERVER"),
    ("inventory", "CLIENT"),
    ("price", "SERVER"),
]

Span = dict[str, Any]


class DemoFailed(Exception):
    """The text says what didn't come true."""


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > end:
            raise DemoFailed(f"not within {DEADLINE:.0f} s: {what}")
        time.sleep(POLL)
    return value


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def inherited() -> dict[str, str]:
    """This environment without what would set up tracing otherwise."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "RBINDER_"))}


def start(
    stack: ExitStack, command: list[str], environment: dict[str, str], output: int | None = None
) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, env=inherited() | environment, stdout=output, text=True)
    stack.callback(stop, process)
    return process


def start_collector(stack: ExitStack) -> str:
    """Start the example collector; returns its OTLP/HTTP endpoint."""
    command = [sys.executable, str(SHOP.parent / "collector.py"), "--http", "0", "--grpc", "0"]
    process = start(stack, command, {}, subprocess.PIPE)
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise DemoFailed("the collector didn't start")
    return f"http://127.0.0.1:{json.loads(line)['http']}"


def start_service(stack: ExitStack, command: list[str], port: int, environment: dict[str, str]) -> None:
    """Start one service under rbinder and return when it listens."""
    shown = " ".join([*command[:-1], str(port)]).replace(f"{SHOP}/", "").replace(sys.executable, "python")
    print(f"$ rbinder {shown}", flush=True)
    process = start(stack, [sys.executable, "-m", "rbinder", "--", *command], environment)
    until(lambda: listens(port) or process.poll() is not None, f"{command[0]} listens on {port}")
    if process.poll() is not None:
        raise DemoFailed(f"{shown} ended with status {process.returncode}")


def start_shop(stack: ExitStack, endpoint: str) -> str:
    """Start the three services, last one first; returns the storefront's URL."""
    storefront, inventory, price = free_ports(3)
    exporting = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "PRICE_URL": f"http://127.0.0.1:{price}",
        "INVENTORY_URL": f"http://127.0.0.1:{inventory}",
    }
    start_service(stack, ["java", str(SHOP / "Price.java"), str(price)], price, exporting)
    start_service(stack, ["node", str(SHOP / "inventory.js"), str(inventory)], inventory, exporting)
    start_service(stack, [sys.executable, str(SHOP / "storefront.py"), str(storefront)], storefront, exporting)
    return f"http://127.0.0.1:{storefront}"


def get(url: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=DEADLINE) as response:
        return json.load(response)


def buy(url: str) -> None:
    for item in ITEMS:
        print(f"$ curl {url}/cart?item={item}\n{json.dumps(get(f'{url}/cart?item={item}'))}", flush=True)


def collect(endpoint: str) -> dict[str, list[Span]]:
    """Wait for every span of every request; the spans by trace."""

    def all_spans() -> list[Span]:
        spans: list[Span] = get(f"{endpoint}/spans")
        return spans if len(spans) >= len(CHAIN) * len(ITEMS) else []

    traces = defaultdict(list)
    for span in until(all_spans, f"{len(CHAIN) * len(ITEMS)} spans at the collector"):
        traces[span["traceId"]].append(span)
    return traces


def linked(spans: list[Span]) -> list[Span]:
    """A trace's spans from the root down. Raises DemoFailed unless they are the CHAIN, each the parent of the next."""
    chain: list[Span] = []
    while children := [span for span in spans if span["parentSpanId"] == (chain[-1]["spanId"] if chain else "")]:
        chain.append(children[0])
    seen = [(span["service"].lower(), span["kind"]) for span in chain]
    if seen != CHAIN or len(spans) != len(CHAIN):
        raise DemoFailed(f"the trace isn't linked from end to end: {seen}, {len(spans)} spans in all")
    return chain


def show(chain: list[Span]) -> None:
    print(f"\ntrace {chain[0]['traceId']}")
    for depth, span in enumerate(chain):
        attributes = span["attributes"]
        target = attributes.get("url.path") or attributes.get("url.full")
        milliseconds = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e6
        place = f"{'   ' * depth}{'└─ ' if depth else ''}{span['service']}"
        call = f"{span['kind'].lower()} {attributes['http.request.method']} {target}"
        print(f"{place:30} {call:58} {attributes['http.response.status_code']} {milliseconds:8.1f} ms")


def main() -> int:
    for program, package in (("node", "Node.js"), ("java", "a JDK")):
        if shutil.which(program) is None:
            raise DemoFailed(f"{program} is not on the PATH: install {package}, or use `make demo`")
    with ExitStack() as stack:
        endpoint = start_collector(stack)
        buy(start_shop(stack, endpoint))
        chains = [linked(spans) for spans in collect(endpoint).values()]
    show(chains[0])
    print(f"\n{len(chains)} requests, {len(chains)} traces, each through all three services.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoFailed as failure:
        sys.exit(f"demo failed: {failure}")
