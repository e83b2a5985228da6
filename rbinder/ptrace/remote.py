"""Making system calls in a stopped tracee, one after another, and leaving it as it was found."""

from __future__ import annotations

import os
import signal

from rbinder.ptrace import memory, native
from rbinder.ptrace.arch import Layout, Registers
from rbinder.ptrace.native import PTRACE_SYSCALL

_CALL_STOP = signal.SIGTRAP | 0x80
_ENTER_KERNEL = {2: b"\x0f\x05", 4: b"\x01\x00\x00\xd4"}  # `syscall`, `svc #0`
# A call that a stop has interrupted is restarted by the kernel (linux/errno.h); after a detour we have to do it.
_RESTART = (-512, -513, -514)  # ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND
_RESTART_BLOCK = -516  # ERESTART_RESTARTBLOCK


class Gone(Exception):
    """The tracee ended meanwhile; `status` is its wait status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Remote:
    """A tracee in a ptrace stop: at the entry of a call (`at_entry`), or anywhere else.

    Signals that arrive are held back in `signals`. Raises Gone, OSError.
    """

    def __init__(self, tid: int, layout: Layout, numbers: dict[str, int], at_entry: bool) -> None:
        self._tid = tid
        self._layout = layout
        self._numbers = numbers
        self._at_entry = at_entry
        self._entered = at_entry
        self._before = Registers(tid, layout)
        counter = int(self._before.words[layout.counter])
        self._instruction = counter - layout.instruction_size if at_entry else _find_instruction(tid, layout)
        self.signals: list[int] = []

    def call(self, name: str, *arguments: int) -> int:
        """Make a call; returns its result, negative for an errno."""
        number = self._numbers[name]
        registers = Registers(self._tid, self._layout)
        if self._entered:
            registers.set_call(number, arguments)
            self._entered = False
            self._run(stops=1)
        else:
            self._prepare(registers, number, arguments)
            self._run(stops=2)
        return Registers(self._tid, self._layout).result

    def _prepare(self, registers: Registers, number: int, arguments: tuple[int, ...]) -> None:
        layout, words = self._layout, registers.words
        for index, value in zip(layout.arguments, arguments, strict=False):
            words[index] = value & 0xFFFFFFFFFFFFFFFF
        words[layout.counter] = self._instruction
        if layout.result != layout.arguments[0]:  # x86-64: rax carries the number, orig_rax says "in no call"
            words[layout.result] = number
            words[layout.number] = 0xFFFFFFFFFFFFFFFF
        else:
            words[layout.number] = number
        registers.store()

    def _run(self, stops: int) -> None:
        """Go on until the exit of the call: past its entry and its filter's event where there are such stops."""
        held = 0
        while stops:
            native.ptrace(PTRACE_SYSCALL, self._tid, 0, 0)
            _, status = os.waitpid(self._tid, native.WALL)
            if not os.WIFSTOPPED(status):
                raise Gone(status)
            stop, event = os.WSTOPSIG(status), status >> 16
            if stop == _CALL_STOP:
                stops -= 1
            elif not event:
                held = stop
                self.signals.append(held)

    def restore(self) -> None:
        """Leave the tracee where it was: about to make its call, or in the middle of what it did."""
        if self._at_entry:
            if not self._entered:  # else its own call is still before it
                self._before.repeat_call()
            return
        layout, words = self._layout, self._before.words
        result = self._before.result
        if layout.result != layout.arguments[0] and int(words[layout.number]) >> 63 == 0:
            if result in _RESTART:
                words[layout.result] = words[layout.number]
                words[layout.counter] = words[layout.counter] - layout.instruction_size
            elif result == _RESTART_BLOCK:
                words[layout.result] = self._numbers["restart_syscall"]
                words[layout.counter] = words[layout.counter] - layout.instruction_size
            words[layout.number] = 0xFFFFFFFFFFFFFFFF
        self._before.store()


def _find_instruction(tid: int, layout: Layout) -> int:
    """An instruction that enters the kernel, in the vDSO every process has. Raises OSError where there is none."""
    with open(f"/proc/{tid}/maps") as file:
        for line in file:
            if line.rstrip().endswith("[vdso]"):
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                at = memory.read(tid, low, high - low).find(_ENTER_KERNEL[layout.instruction_size])
                if at >= 0:
                    return low + at
    raise OSError(0, "the tracee has no vDSO")
