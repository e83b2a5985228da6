"""Who is whose child: new, replaced and ended tracees, and what they share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rbinder.privilege import gains_privilege, is_privileged, status
from rbinder.ptrace import memory, native
from rbinder.ptrace.arch import Registers
from rbinder.ptrace.connections import Connection, Descriptors, socket_inode
from rbinder.ptrace.scratch import Scratch
from rbinder.ptrace.tracee import Image, Process, Tracee

if TYPE_CHECKING:
    from rbinder.ptrace.engine import Engine

# linux/sched.h
CLONE_VM, CLONE_FILES, CLONE_THREAD = 0x100, 0x400, 0x10000


class Family:
    """All tracees. `early` holds the first stops of those whose parents have not told of them yet."""

    def __init__(self, engine: Engine, root: int) -> None:
        self._engine = engine
        process = Process(root, os.getpid(), Image(), Descriptors(), Scratch())
        self.tracees: dict[int, Tracee] = {root: Tracee(root, process)}
        self.processes: dict[int, Process] = {root: process}
        self.early: dict[int, int] = {}
        self._privileged = is_privileged()
        self._filters = _count_filters(status(os.getpid()))  # of whoever started us

    def born(self, parent: Tracee, tid: int, event: int) -> None:
        """`parent` has made a process or a thread."""
        adopted = self.tracees.get(tid)
        if adopted is not None:  # it was there before its parent's word, and may be in the middle of a call
            adopted.thread.inherit(parent.thread)
            return
        flags = self._clone_flags(parent, event)
        process = parent.process if flags & CLONE_THREAD else self._fork(parent.process, tid, flags)
        tracee = self.tracees[tid] = Tracee(tid, process)
        tracee.thread.inherit(parent.thread)

    def _clone_flags(self, parent: Tracee, event: int) -> int:
        if event == native.EVENT_VFORK:
            return CLONE_VM
        registers = Registers(parent.tid, self._engine.layout)
        number, numbers = registers.number, self._engine.numbers
        if number == numbers["clone"]:
            return registers.argument(0)
        if number == numbers["clone3"]:  # struct clone_args begins with the flags
            return int.from_bytes(memory.read(parent.tid, registers.argument(0), 8), "little")
        return 0

    def _fork(self, parent: Process, tgid: int, flags: int) -> Process:
        descriptors = parent.descriptors
        if flags & CLONE_FILES:
            descriptors.users += 1
        else:
            descriptors = descriptors.copy()
        scratch = parent.scratch if flags & CLONE_VM else parent.scratch.copy()
        process = Process(tgid, parent.tgid, parent.image, descriptors, scratch)
        process.sandboxed = parent.sandboxed
        self.processes[tgid] = process
        return process

    def adopt(self, tid: int) -> bool:
        """Find out from /proc whose child a tracee is that nobody told of; False: it is gone."""
        try:
            fields = status(tid)
        except OSError:
            self.early.pop(tid, None)
            return False
        tgid, ppid = int(fields["Tgid"]), int(fields["PPid"])
        process = self.processes.get(tgid)
        if process is None:
            parent = self.processes.get(ppid)
            descriptors = parent.descriptors.copy() if parent else Descriptors()
            process = Process(tgid, ppid, Image.of(tgid), descriptors, Scratch())
            process.sandboxed = _count_filters(fields) > self._filters + self._engine.filtered
            self.processes[tgid] = process
        self.tracees[tid] = Tracee(tid, process)
        return True

    def replaced(self, tracee: Tracee, former: int) -> Tracee:
        """exec(2): the caller is its process's only thread now, under the process's id (`former`: its own before)."""
        tgid = tracee.tid
        for tid in (former, *tracee.process.threads):
            memory.forget(tid)
        if former != tgid and former in self.tracees:
            tracee = self.tracees.pop(former)
            tracee.tid = tgid
        process = tracee.process
        for tid in [tid for tid in process.threads if tid != former]:
            self.tracees.pop(tid, None)
        old = process.descriptors
        process.descriptors = self._after_exec(process, old)
        process.scratch = Scratch()
        process.image = Image.of(tgid)
        process.announced = False
        process.threads = {tgid: tracee}
        self.tracees[tgid] = tracee
        process.renew_group()
        tracee.thread = tracee.thread.replaced(process.group)
        tracee.finish = None
        self._warn_of(process)
        return tracee

    def _after_exec(self, process: Process, old: Descriptors) -> Descriptors:
        """The new image has a table of its own, without what was marked close-on-exec."""
        table = Descriptors()
        for descriptor, connection in old.entries.items():
            if isinstance(connection, Connection) and _inode(process.tgid, descriptor) == connection.inode:
                table.entries[descriptor] = connection
                connection.holders += 1
        self._leave(old)
        return table

    def _leave(self, table: Descriptors) -> None:
        table.users -= 1
        if table.users == 0:
            for connection in table.entries.values():
                if connection is not None:
                    self._engine.released(connection)
            table.entries.clear()

    def _warn_of(self, process: Process) -> None:
        executable = process.image.executable
        if _is_32_bit(process.tgid):
            self._engine.say(f"{executable} is a 32-bit program: it runs untraced")
        elif not self._privileged and gains_privilege(f"/proc/{process.tgid}/exe"):
            self._engine.say(
                f"{executable} is a setuid program: it runs without its privilege below a tracer "
                "(with --no-seccomp it has its privilege and runs untraced)"
            )

    def let_go_for_exec(self, tracee: Tracee, number: int, arguments: list[int]) -> bool:
        """Without a filter: a setuid program about to be executed keeps its privilege if nobody traces it."""
        if self._privileged:
            return False
        address = arguments[0] if number == self._engine.numbers["execve"] else arguments[1]
        path = memory.read(tracee.tid, address, 4096).partition(b"\0")[0].decode("utf-8", "surrogateescape")
        base = f"/proc/{tracee.tid}/root" if path.startswith("/") else f"/proc/{tracee.tid}/cwd/"
        if not path or not gains_privilege(base + path):
            return False
        self._engine.say(f"{path} is a setuid program: it runs untraced, with its privilege")
        self.detach(tracee)
        return True

    def detach(self, tracee: Tracee, signal_number: int = 0) -> None:
        """Let a stopped tracee go on without us."""
        native.ptrace(native.PTRACE_DETACH, tracee.tid, 0, signal_number)
        self.lost(tracee)

    def lost(self, tracee: Tracee) -> None:
        """The tracee has ended, or is not ours any more."""
        memory.forget(tracee.tid)
        self.tracees.pop(tracee.tid, None)
        process = tracee.process
        process.threads.pop(tracee.tid, None)
        if not process.threads:
            self.processes.pop(process.tgid, None)
            self._leave(process.descriptors)


def _inode(tgid: int, descriptor: int) -> str | None:
    """None also where the new image may not be looked at (a file that is executable and not readable)."""
    try:
        return socket_inode(tgid, descriptor)
    except PermissionError:
        return None


def _count_filters(fields: dict[str, str]) -> int:
    """Seccomp filters in force; 0 before Linux 5.9, which doesn't tell."""
    return int(fields.get("Seccomp_filters", "0"))


def _is_32_bit(tgid: int) -> bool:
    """EI_CLASS is ELFCLASS32 (elf(5))."""
    try:
        with open(f"/proc/{tgid}/exe", "rb") as file:
            return file.read(5) == b"\x7fELF\x01"
    except OSError:
        return False
