"""Where the program's processes load the agent from: its own file, or a copy that they can reach.

The loader takes a colon or white space in LD_PRELOAD for the end of a name, and complains on the program's stderr about
a file that it can't open: a child of root's that has become another user may not pass root's directories.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

_FOLDERS = ("/tmp", "/var/tmp", "/run", "/dev/shm")
_BESIDE = ("node.cjs",)  # what the agent looks for where it lies itself (src/node.c)
_SEPARATORS = re.compile(r"[:\s]")
_LONGEST = 1000  # bytes of a path: src/exec.h, LIBRARY_LIMIT


@dataclass(frozen=True, slots=True)
class Place:
    """`path`: of the library; `made`: the directory made for it, "" for none."""

    path: str
    made: str = ""

    def remove(self) -> None:
        """Remove what was made."""
        if self.made:
            shutil.rmtree(self.made, ignore_errors=True)


def find(library: Path) -> Place | None:
    """A place that suits whoever may load the library; None: there is none."""
    path = str(library)
    fits = not _SEPARATORS.search(path) and len(os.fsencode(path)) < _LONGEST and not _is_noexec(path)
    if fits and (os.geteuid() != 0 or _is_open_to_all(library)):
        return Place(path)
    return _copy(library) or (Place(path) if fits else None)


def _copy(library: Path) -> Place | None:
    for folder in _FOLDERS:
        if not os.path.isdir(folder) or _is_noexec(folder):
            continue
        with contextlib.suppress(OSError):
            made = tempfile.mkdtemp(prefix="rbinder-", dir=folder)
            place = Place(os.path.join(made, library.name), made)
            try:
                os.chmod(made, 0o755)
                for name in (library.name, *_BESIDE):
                    if (source := library.with_name(name)).exists():
                        shutil.copyfile(source, Path(made, name))
                        os.chmod(Path(made, name), 0o755)
                return place
            except OSError:
                place.remove()
    return None


def _is_noexec(path: str) -> bool:
    """Whether nothing there can be mapped to be executed (mmap(2))."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:
        return True


def _is_open_to_all(library: Path) -> bool:
    try:
        passable = all(folder.stat().st_mode & stat.S_IXOTH for folder in library.resolve().parents)
        return passable and bool(library.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
