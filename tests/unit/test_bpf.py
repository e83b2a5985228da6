"""The seccomp filter, evaluated for both architectures: what is subscribed to stops, everything else passes."""

from __future__ import annotations

import struct

import pytest

from rbinder.bpf.program import (
    AUDIT_ARCH,
    RET_ALLOW,
    RET_TRACE,
    RET_USER_NOTIF,
    X32_SYSCALL_BIT,
    Condition,
    Subscription,
    build,
    evaluate,
)
from rbinder.ptrace.subscriptions import SUBSCRIPTIONS, numbers

AUDIT_ARCH_I386, AUDIT_ARCH_ARM = 0x40000003, 0x40000028  # linux/audit.h
HIGHEST = 600
NO_CONDITION = (9999,) * 6  # arguments that no condition asks for
# Kernel numbers (asm/unistd_64.h, asm-generic/unistd.h) of some calls, independent of python-ptrace's tables.
KNOWN = {
    "x86_64": {"read": 0, "write": 1, "close": 3, "connect": 42, "accept4": 288, "sendmmsg": 307, "dup2": 33},
    "aarch64": {"read": 63, "write": 64, "close": 57, "connect": 203, "accept4": 242, "sendmmsg": 269},
}
NEITHER = {"x86_64": {"openat": 257, "futex": 202, "mmap": 9}, "aarch64": {"openat": 56, "futex": 98, "mmap": 222}}
ALWAYS = [subscription.name for subscription in SUBSCRIPTIONS if not subscription.conditions]

architectures = pytest.mark.parametrize("architecture", sorted(AUDIT_ARCH))


def answer(architecture: str, number: int, *arguments: int, action: int = RET_TRACE) -> int:
    program = build(architecture, numbers(architecture), SUBSCRIPTIONS, action)
    return evaluate(program, AUDIT_ARCH[architecture], number, (*arguments, 0, 0, 0, 0, 0, 0)[:6])


@architectures
def test_the_numbers_are_the_kernels(architecture: str) -> None:
    table = numbers(architecture)
    assert {name: table[name] for name in KNOWN[architecture]} == KNOWN[architecture]
    assert {name: table[name] for name in NEITHER[architecture]} == NEITHER[architecture]


@architectures
def test_every_subscribed_call_stops(architecture: str) -> None:
    table = numbers(architecture)
    for name in ALWAYS:
        if name in table:
            assert answer(architecture, table[name]) == RET_TRACE, name


@architectures
def test_all_other_calls_pass(architecture: str) -> None:
    table = numbers(architecture)
    subscribed = {table[name] for name in ALWAYS if name in table}
    program = build(architecture, table, SUBSCRIPTIONS)
    for number in range(HIGHEST + 1):
        expected = RET_TRACE if number in subscribed else RET_ALLOW
        assert evaluate(program, AUDIT_ARCH[architecture], number, NO_CONDITION) == expected, number
    assert evaluate(program, AUDIT_ARCH[architecture], -1) == RET_ALLOW  # what a tracer sets to skip a call


@architectures
@pytest.mark.parametrize("foreign", [AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0])
def test_calls_of_another_architecture_pass(architecture: str, foreign: int) -> None:
    program = build(architecture, numbers(architecture), SUBSCRIPTIONS)
    for number in range(HIGHEST + 1):
        assert evaluate(program, foreign, number) == RET_ALLOW


def test_x32_calls_pass() -> None:
    program = build("x86_64", numbers("x86_64"), SUBSCRIPTIONS)
    for number in range(HIGHEST + 1):
        assert evaluate(program, AUDIT_ARCH["x86_64"], X32_SYSCALL_BIT | number) == RET_ALLOW


def test_dup2_is_left_out_where_it_does_not_exist() -> None:
    assert "dup2" in numbers("x86_64")
    assert "dup2" not in numbers("aarch64")


# call, arguments, whether it stops
CONDITIONS: list[tuple[str, tuple[int, ...], bool]] = [
    ("fcntl", (3, 0), True),  # F_DUPFD
    ("fcntl", (3, 1030), True),  # F_DUPFD_CLOEXEC
    ("fcntl", (3, 0xFFFFFFFF00000000), True),  # the kernel takes an int: the high half means nothing
    ("fcntl", (3, 1), False),  # F_GETFD
    ("fcntl", (3, 3), False),  # F_GETFL
    ("fcntl", (0, 1031), False),
    ("getsockopt", (3, 1, 4), True),  # SOL_SOCKET, SO_ERROR
    ("getsockopt", (3, 1, 3), False),  # SO_TYPE
    ("getsockopt", (3, 6, 4), False),  # another level
    ("prctl", (22,), True),  # PR_SET_SECCOMP
    ("prctl", (15,), False),  # PR_SET_NAME
    ("seccomp", (1,), True),
    ("ptrace", (0,), True),
]


@architectures
@pytest.mark.parametrize(("name", "arguments", "stops"), CONDITIONS)
def test_conditions(architecture: str, name: str, arguments: tuple[int, ...], stops: bool) -> None:
    number = numbers(architecture)[name]
    assert answer(architecture, number, *arguments) == (RET_TRACE if stops else RET_ALLOW)


@architectures
def test_the_call_after_a_condition_is_still_compared(architecture: str) -> None:
    """A condition overwrites the accumulator that held the number."""
    subscriptions = [
        Subscription("fcntl", (Condition(((1, 7), (2, 8))), Condition(((0, 9),)))),
        Subscription("read"),
    ]
    table = numbers(architecture)
    program = build(architecture, table, subscriptions)

    def ask(name: str, *arguments: int) -> int:
        return evaluate(program, AUDIT_ARCH[architecture], table[name], (*arguments, 0, 0, 0))

    assert ask("fcntl", 0, 7, 8) == RET_TRACE
    assert ask("fcntl", 9, 0, 0) == RET_TRACE
    assert ask("fcntl", 0, 7, 0) == RET_ALLOW
    assert ask("fcntl", 0, 0, 8) == RET_ALLOW
    assert ask("read", 0, 0, 0) == RET_TRACE
    assert ask("write", 0, 7, 8) == RET_ALLOW


@architectures
def test_another_action(architecture: str) -> None:
    assert answer(architecture, numbers(architecture)["read"], action=RET_USER_NOTIF) == RET_USER_NOTIF


@architectures
def test_every_jump_stays_within_the_program(architecture: str) -> None:
    program = build(architecture, numbers(architecture), SUBSCRIPTIONS)
    count = len(program) // 8
    for at, (code, true, false, _) in enumerate(struct.iter_unpack("<HBBI", program)):
        assert at + 1 + max(true, false) < count or code == 0x06
    assert program[-8:] == struct.pack("<HBBI", 0x06, 0, 0, RET_ALLOW)


def test_what_cannot_be_built() -> None:
    with pytest.raises(KeyError):
        build("riscv64", {}, SUBSCRIPTIONS)
    with pytest.raises(KeyError):
        numbers("riscv64")
    names = [f"call{number}" for number in range(2100)]
    with pytest.raises(ValueError, match="instructions"):
        build("x86_64", {name: number for number, name in enumerate(names)}, [Subscription(name) for name in names])
