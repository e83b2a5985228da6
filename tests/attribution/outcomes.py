"""What rows have come to, kept in a file while a long run goes on, so that the next one can go on from there."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import ROOT

from attribution.rows import Row
from attribution.traffic import Verdicts


@dataclass(frozen=True)
class Outcome:
    """`verdicts` None: the row has not been run, or could not be; then `why` says so."""

    row: Row
    engine: str
    requests: int
    connections: int
    disconnect: bool
    verdicts: Verdicts | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The same for the same measurement of the same rbinder."""
        ways = f"{self.requests} {self.connections} {'disconnect' if self.disconnect else 'stay'}"
        return f"{self.row.name} / {self.engine} / {ways} / {revision(self.engine, self.row.runtime)}"


# What comes after it was decided whose a call is: the ring's other end, what an exchange is called, and where spans go.
_AFTERWARDS = (
    *("agent/src/ring.", "agent/src/pump.c", "agent/src/reader.c", "agent/src/stencil", "agent/stencils.py"),
    *("exchanges.py", "messages.py", "conventions.py", "spans.py", "urls.py", "resources.py", "exporters/"),
)
_OTHER_ENGINE = {"agent": ("ptrace/", "bpf/", "binder/"), "ptrace": ("agent/",)}
_ADAPTERS = {  # what works in processes of one runtime alone
    "Java": ("agent/jvm/", "agent/src/jvm"),
    "Node": ("agent/node.cjs", "agent/src/node"),
    "Python": ("agent/src/cpython",),
    "Ruby": ("agent/src/ruby",),
}
_SOURCES = (".py", ".c", ".h", ".def", ".cjs", ".java")


@cache
def revision(engine: str, runtime: str) -> str:
    """Of all in rbinder that may decide whose a call is there, as it lies here."""
    others = [name for other, names in _ADAPTERS.items() if other != runtime for name in names]
    left_out = (*_AFTERWARDS, *_OTHER_ENGINE[engine], *others)
    found, root = hashlib.sha256(), ROOT / "rbinder"
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.suffix in _SOURCES and path.is_file() and not name.startswith(left_out):
            found.update(name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


class Kept:
    """Outcomes in a JSON file, which is written anew with each. What could not be run isn't kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def find(self, wanted: Outcome) -> Outcome | None:
        found = self._found.get(wanted.name)
        if found is None:
            return None
        calls = {shape: Counter(count) for shape, count in found["calls"].items()}
        verdicts = Verdicts(calls, found["failed"], found["wrongs"])
        return Outcome(wanted.row, wanted.engine, wanted.requests, wanted.connections, wanted.disconnect, verdicts)

    def add(self, outcome: Outcome) -> None:
        found = outcome.verdicts
        if found is None:
            return
        self._found[outcome.name] = {"calls": found.calls, "failed": found.failed, "wrongs": found.wrongs}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._found, indent=1))
        fresh.replace(self._path)
