"""The rows of Node: its versions, and its ways to make calls. npm has all of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness import TARGETS

from attribution.rows import SHAPES, Row

VERSIONS = ("18", "20", "22", "24")
OTHERS = {"deno": "^2", "bun": "^1"}  # other runtimes of the same programs
PACKAGES = {"axios": "^1", "express": "^4", "fastify": "^5", "got": "^14", "undici": "^6"}
FRONT = "shapes_node.cjs"


def _row(name: str, node: str, front: Path, client: str, how: str = "alone", options: tuple[str, ...] = ()) -> Row:
    shapes = tuple(shape for shape in SHAPES if client != "fetch" or shape != "limited")

    def command(port: int, back: int) -> Sequence[str]:
        return (node, *options, str(front), str(port), str(back), client, how)

    return Row(name, "Node", command, shapes, stressed=client in ("http", "fetch") and how == "alone")


def _under_stress(version: str, node: str, front: Path, client: str) -> Row:
    return _row(f"Node {version}, {client}, under stress", node, front, client, "stress", ("--max-old-space-size=64",))


def system_rows() -> list[Row]:
    """With the Node that is installed, and nothing but what it brings."""
    node = shutil.which("node") or "node"
    front = TARGETS / FRONT
    rows = [_row(f"Node, {client}", node, front, client) for client in ("http", "https", "fetch")]
    return rows + [_row(f"Node, http, {how}", node, front, "http", how) for how in ("cluster", "worker")]


def rows(directory: Path) -> list[Row]:
    """All of them; what npm has is put into `directory`. Raises OSError and subprocess.SubprocessError."""
    nodes = {version: directory / "node_modules" / f"node{version}" / "bin" / "node" for version in VERSIONS}
    if not all(path.exists() for path in (*nodes.values(), *(directory / "node_modules" / name for name in PACKAGES))):
        _install(directory)
    front = directory / FRONT  # packages are looked for beside it
    shutil.copyfile(TARGETS / FRONT, front)
    found = []
    for version, node in nodes.items():
        for client in ("http", "https", "fetch", "undici", "axios", "got"):
            if (client, version) not in {("got", "18")}:  # wants 20
                found.append(_row(f"Node {version}, {client}", str(node), front, client))
        found += [_row(f"Node {version}, http, {how}", str(node), front, "http", how) for how in ("cluster", "worker")]
        found.append(_row(f"Node {version}, Express, axios", str(node), front, "axios", "express"))
        if version != "18":  # Fastify wants 20
            found.append(_row(f"Node {version}, Fastify, undici", str(node), front, "undici", "fastify"))
        clients = ("http", "fetch", "undici", "axios")
        found += [_under_stress(version, str(node), front, client) for client in clients]
    return found + _others(directory, front)


def _others(directory: Path, front: Path) -> list[Row]:
    """Which have no bridge: their calls are bound where the rules prove it."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    deno = str(directory / "node_modules" / "@deno" / f"linux-{machine}-glibc" / "deno")
    bun = str(directory / "node_modules" / "bun" / "bin" / "bun.exe")
    found = []
    for name, command in (("Deno", (deno, "run", "-A")), ("Bun", (bun,))):
        for client in ("http", "fetch"):
            row = _row(f"{name}, {client}", "", front, client)
            loose = dict.fromkeys(row.shapes, "there is no bridge for it")
            found.append(replace(row, runtime=name, command=_started(command, front, client), loose=loose))
    return found


def _started(command: tuple[str, ...], front: Path, client: str) -> Callable[[int, int], Sequence[str]]:
    return lambda port, back: (*command, str(front), str(port), str(back), client)


def _install(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    wanted = {f"node{version}": f"npm:node-linux-{machine}@^{version}" for version in VERSIONS} | PACKAGES | OTHERS
    (directory / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=directory, check=True, timeout=600)
