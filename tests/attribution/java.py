"""The rows of Java: what the JDK brings, and servers and clients that Maven has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness import TARGETS

from attribution.rows import Row

_FORGET = {"forget": "made after the answer, as may be"}
CLIENTS = {"url": "HttpURLConnection", "http": "java.net.http", "async": "java.net.http, futures"}


def _java() -> str:
    return shutil.which("java") or "java"


def _row(java: str, name: str, *words: str) -> Row:
    """`words` of the front: what comes before its ports, and after them."""
    at = words.index("PORT")
    before, after = words[:at], words[at + 1 :]
    return Row(name, "Java", lambda port, back: (java, *before, str(port), str(back), *after), loose=_FORGET)


def _own_rows(java: str, label: str, *front: str, virtual: bool) -> list[Row]:
    rows = [_row(java, f"{label}, {name}", *front, "PORT", client, "64") for client, name in CLIENTS.items()]
    if virtual:
        for client in ("url", "http"):
            name = f"{label}, virtual threads, {CLIENTS[client]}"
            rows.append(_row(java, name, *front, "PORT", client, "virtual"))
    return rows


def system_rows() -> list[Row]:
    """With the Java that is installed, and nothing but what it brings."""
    return _own_rows(_java(), "Java", str(TARGETS / "ShapesJava.java"), virtual=False)
