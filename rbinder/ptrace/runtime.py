"""Recognising runtimes that move tasks between threads, where a thread tells nothing about who caused a call."""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from functools import lru_cache


class Tasks(IntEnum):
    """What a runtime does with tasks. HANDED: the program's threads may serve requests, or hand them over."""

    KEPT = 0
    HANDED = 1
    MOVED = 2


# The Go linker writes this at the head of the section .go.buildinfo (go/src/debug/buildinfo).
_GO = b"\xff Go buildinf:"
_TOKIO = b"tokio-runtime-worker"  # the name tokio's scheduler gives its threads
_MONO = b"mono_get_root_domain"  # what it exports to those that embed it; libmonosgen is a library of its own elsewhere
_LIBRARIES = (
    ("/libcoreclr.so", Tasks.MOVED),  # .NET
    ("/libmonosgen-", Tasks.MOVED),
    ("/libjvm.so", Tasks.HANDED),
)
_CARRIERS = "ForkJoinPool-"  # threads on which Java runs virtual ones, and others what was handed to them
_LIMIT = 64 << 20  # bytes searched: what Go and Rust link statically lies within


def tasks(tgid: int) -> Tasks:
    """What its program is, and what it has loaded, tells of a process. KEPT where that can't be read."""
    path = f"/proc/{tgid}/exe"
    try:
        status = os.stat(path)
    except OSError:
        return Tasks.KEPT
    if _search(status.st_dev, status.st_ino, status.st_mtime_ns, path):
        return Tasks.MOVED
    return _by_libraries(tgid)


def has_carriers(tgid: int) -> bool:
    """Whether a process of Java's has threads that run now one task and now another."""
    directory = f"/proc/{tgid}/task"
    try:
        return any(_name(f"{directory}/{tid}/comm").startswith(_CARRIERS) for tid in os.listdir(directory))
    except OSError:
        return False


def _name(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # the thread has ended
        return ""


def _by_libraries(tgid: int) -> Tasks:
    try:
        with open(f"/proc/{tgid}/maps", encoding="utf-8", errors="replace") as maps:
            return max((told for line in maps for library, told in _LIBRARIES if library in line), default=Tasks.KEPT)
    except OSError:
        return Tasks.KEPT


@lru_cache(maxsize=128)
def _search(device: int, inode: int, modified: int, path: str) -> bool:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(mark, 0, _LIMIT) >= 0 for mark in (_GO, _TOKIO, _MONO))
    except (OSError, ValueError):
        return False
