"""The rows of Node: its versions, and its ways to make calls. npm has all of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from harness import TARGETS

from attribution.rows import SHAPES, Row

VERSIONS = ("18", "20", "22", "24")
PACKAGES = {"axios": "^1", "got": "^14", "undici": "^6"}
FRONT = "shapes_node.cjs"

# The answer may be on its way before the call's connection is there: then the call belongs to nothing any more.
_FORGET = {"forget": "made after the answer, as may be"}


def _row(name: str, node: str, front: Path, client: str, how: str = "alone") -> Row:
    shapes = tuple(shape for shape in SHAPES if client != "fetch" or shape != "limited")
    return Row(name, "Node", lambda port, back: (node, str(front), str(port), str(back), client, how), shapes, _FORGET)


def system_rows() -> list[Row]:
    """With the Node that is installed, and nothing but what it brings."""
    node = shutil.which("node") or "node"
    front = TARGETS / FRONT
    rows = [_row(f"Node, {client}", node, front, client) for client in ("http", "https", "fetch")]
    return rows + [_row(f"Node, http, {how}", node, front, "http", how) for how in ("cluster", "worker")]


def rows(directory: Path) -> list[Row]:
    """All of them; what npm has is put into `directory`. Raises OSError and subprocess.SubprocessError."""
    nodes = {version: directory / "node_modules" / f"node{version}" / "bin" / "node" for version in VERSIONS}
    if not all(node.exists() for node in nodes.values()):
        _install(directory)
    front = directory / FRONT  # packages are looked for beside it
    shutil.copyfile(TARGETS / FRONT, front)
    found = []
    for version, node in nodes.items():
        for client in ("http", "https", "fetch", "undici", "axios", "got"):
            if (client, version) not in {("got", "18")}:  # wants 20
                found.append(_row(f"Node {version}, {client}", str(node), front, client))
        found += [_row(f"Node {version}, http, {how}", str(node), front, "http", how) for how in ("cluster", "worker")]
    return found


def _install(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    wanted = {f"node{version}": f"npm:node-linux-{machine}@^{version}" for version in VERSIONS} | PACKAGES
    (directory / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=directory, check=True, timeout=600)
