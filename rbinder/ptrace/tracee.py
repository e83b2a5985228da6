"""Tracees: processes and threads as the ptrace engine knows them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from rbinder.binder.rules import Group, Thread
from rbinder.ptrace.connections import Descriptors
from rbinder.ptrace.lookups import Answers
from rbinder.ptrace.runtime import Tasks, has_carriers, tasks
from rbinder.ptrace.scratch import Scratch


@dataclass(slots=True)
class Image:
    """The program a process runs, as it was when it was started."""

    executable: str = ""
    arguments: list[str] = field(default_factory=list)
    directory: str = ""

    @classmethod
    def of(cls, tgid: int) -> Image:
        """Read it from /proc; what can't be read is empty."""
        return cls(_link(f"/proc/{tgid}/exe"), _arguments(tgid), _link(f"/proc/{tgid}/cwd"))


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _arguments(tgid: int) -> list[str]:
    try:
        with open(f"/proc/{tgid}/cmdline", "rb") as file:
            data = file.read()
    except OSError:
        return []
    return [part.decode("utf-8", "surrogateescape") for part in data.split(b"\0")[:-1]]


class Process:
    """A thread group. Processes that share their memory (vfork) share `scratch`, and by CLONE_FILES `descriptors`."""

    __slots__ = (
        "_recognised",
        "announced",
        "answers",
        "descriptors",
        "group",
        "image",
        "parent",
        "reached",
        "sandboxed",
        "scratch",
        "tgid",
        "threads",
    )

    def __init__(self, tgid: int, parent: int, image: Image, descriptors: Descriptors, scratch: Scratch) -> None:
        self.tgid = tgid
        self.parent = parent
        self.image = image
        self.descriptors = descriptors
        self.scratch = scratch
        self.answers = Answers()
        self.group = Group()
        self.sandboxed = False  # it has a seccomp filter of its own: no call is exchanged for another
        self.announced = False
        self.reached: dict[int, int] = {}  # port → when a connect to it succeeded last (CLOCK_MONOTONIC ns)
        self.threads: dict[int, Tracee] = {}
        self._recognised = False

    def recognise(self) -> None:
        """It serves: find out, once, whether its runtime moves tasks between threads."""
        if not self._recognised:
            self._recognised = True
            found = tasks(self.tgid)
            self.group.migrates = found is Tasks.MOVED
            if found is Tasks.HANDED:
                self.group.try_threads(lambda: has_carriers(self.tgid))

    def renew_group(self) -> None:
        """A new image: nothing is known of its threads."""
        self.group = Group()
        self._recognised = False


class Tracee:
    """A thread. `finish` is what waits for its call's exit stop; `in_call` is kept only where there is no filter."""

    __slots__ = ("finish", "in_call", "process", "thread", "tid")

    def __init__(self, tid: int, process: Process) -> None:
        self.tid = tid
        self.process = process
        self.thread = Thread(process.group)
        self.finish: Callable[[Tracee, int], None] | None = None
        self.in_call = False
        process.threads[tid] = self
