"""The register layouts: against the kernel's headers and python-ptrace's structures, and on a living process."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator

import pytest
from ptrace.binding import linux_struct

from rbinder.bpf.program import AUDIT_ARCH
from rbinder.ptrace import native
from rbinder.ptrace.arch import LAYOUTS, Calls, Registers, machine
from rbinder.ptrace.subscriptions import numbers

# struct user_regs_struct, asm/user_64.h, in its order
X86_64 = [
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
]


def test_x86_64_is_the_kernels_structure() -> None:
    layout = LAYOUTS["x86_64"]
    assert layout.words == len(X86_64)
    assert [X86_64[index] for index in layout.arguments] == ["rdi", "rsi", "rdx", "r10", "r8", "r9"]
    assert X86_64[layout.number] == "orig_rax"
    assert X86_64[layout.result] == "rax"
    assert X86_64[layout.counter] == "rip"
    assert layout.instruction_size == len(b"\x0f\x05")  # syscall


@pytest.mark.skipif(machine() != "x86_64", reason="python-ptrace has the structure of the machine it runs on")
def test_x86_64_is_python_ptraces_structure() -> None:
    names = [name for name, *_ in linux_struct.user_regs_struct._fields_]
    assert names == X86_64
    assert ctypes.sizeof(linux_struct.user_regs_struct) == 8 * LAYOUTS["x86_64"].words


def test_aarch64_is_the_kernels_structure() -> None:
    """struct user_pt_regs, asm/ptrace.h: regs[31], sp, pc, pstate; the call's number is in x8."""
    layout = LAYOUTS["aarch64"]
    assert layout.words == 31 + 3
    assert layout.arguments == (0, 1, 2, 3, 4, 5)
    assert (layout.number, layout.result, layout.counter) == (8, 0, 32)
    assert layout.instruction_size == 4


@pytest.mark.parametrize("architecture", sorted(LAYOUTS))
def test_every_architecture_is_whole(architecture: str) -> None:
    layout = LAYOUTS[architecture]
    assert architecture in AUDIT_ARCH
    assert len(set(layout.arguments)) == 6
    places = (*layout.arguments, layout.number, layout.result, layout.counter)
    assert all(0 <= place < layout.words for place in places)


def to_next_stop(pid: int) -> None:
    native.ptrace(native.PTRACE_SYSCALL, pid)
    assert os.WSTOPSIG(os.waitpid(pid, 0)[1]) == signal.SIGTRAP | 0x80


@pytest.fixture
def tracee() -> Iterator[int]:
    """A child that asks for its parent's id again and again, stopped at the entry of that call."""
    pid = os.fork()
    if pid == 0:
        while True:
            os.getppid()
    native.ptrace(native.PTRACE_SEIZE, pid, 0, native.OPTIONS)
    native.ptrace(native.PTRACE_INTERRUPT, pid)
    os.waitpid(pid, 0)
    wanted = (native.CALL_ENTRY, numbers(machine())["getppid"])
    to_next_stop(pid)
    while (entry := native.syscall_entry(pid))[:1] + entry[2:3] != wanted:
        to_next_stop(pid)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.skipif(machine() not in LAYOUTS, reason="no layout for this machine")
@pytest.mark.parametrize("direct", [True, False], ids=["GET_SYSCALL_INFO", "registers"])
def test_calls_are_read(direct: bool, tracee: int) -> None:
    calls = Calls(LAYOUTS[machine()], AUDIT_ARCH[machine()])
    calls._direct = direct
    architecture, number, *_ = calls.entry(tracee)
    assert (architecture, number) == (AUDIT_ARCH[machine()], numbers(machine())["getppid"])
    to_next_stop(tracee)
    assert calls.result(tracee) == os.getpid()


@pytest.mark.skipif(machine() not in LAYOUTS, reason="no layout for this machine")
def test_a_call_is_exchanged_and_repeated(tracee: int) -> None:
    layout, table = LAYOUTS[machine()], numbers(machine())
    before = Registers(tracee, layout)
    Registers(tracee, layout).set_call(table["getpgid"], (1,))
    to_next_stop(tracee)
    assert Registers(tracee, layout).result == os.getpgid(1)
    before.repeat_call()
    to_next_stop(tracee)
    assert Registers(tracee, layout).number == table["getppid"]
    assert [Registers(tracee, layout).argument(i) for i in range(6)] == [before.argument(i) for i in range(6)]
    to_next_stop(tracee)
    assert Registers(tracee, layout).result == os.getpid()


@pytest.mark.skipif(machine() not in LAYOUTS, reason="no layout for this machine")
def test_a_result_is_put_in_place_of_another(tracee: int) -> None:
    layout, table = LAYOUTS[machine()], numbers(machine())
    before = Registers(tracee, layout)
    Registers(tracee, layout).set_call(table["close"], (0xFFFFFFFF,))
    to_next_stop(tracee)
    after = Registers(tracee, layout)
    assert after.result == -9  # EBADF
    before.leave_call(4711)
    now = Registers(tracee, layout)
    assert now.result == 4711
    kept = set(range(layout.words)) - {layout.result}
    if machine() == "x86_64":
        kept -= {X86_64.index("rcx"), X86_64.index("r11")}  # the `syscall` instruction overwrites them anyway
    assert {place: now.words[place] for place in kept} == {place: before.words[place] for place in kept}
