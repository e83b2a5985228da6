"""What rbinder's processes take of memory while a server runs below them."""

from __future__ import annotations

import re
from pathlib import Path

from programs import Role


def kilobytes(pid: int, field: str) -> int:
    """A field of /proc/PID/smaps_rollup: Rss, or Pss, which shares out what processes have in common."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def measure(roles: list[Role]) -> list[str]:
    """The lines to print."""
    lines, total = [], 0
    for role in roles:
        if role.name != "program":
            pss, rss = kilobytes(role.pid, "Pss"), kilobytes(role.pid, "Rss")
            total += pss
            lines.append(f"{role.name:<11}{pss / 1024:6.1f} MiB of its own share (PSS), {rss / 1024:6.1f} MiB resident")
    lines.append(f"{'together':<11}{total / 1024:6.1f} MiB")
    return lines
