"""What a process takes of memory."""

from __future__ import annotations

import re
from pathlib import Path


def proportional(pid: int) -> int:
    """Bytes of its own share (PSS), in which processes share out what they have in common; 0 if it is gone."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
