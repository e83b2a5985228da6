"""Seccomp-BPF: the filter that makes the kernel stop only the calls somebody subscribed to. This file does no I/O.

The filter sees numbers only: the architecture, the call's number and its six arguments (seccomp(2), linux/seccomp.h).
Its rule, in pseudo-code:

    if arch != ours:          allow        a 32-bit child's numbers mean other calls
    if nr >= 0x40000000:      allow        x86-64 only: the x32 interface
    for each subscription:
        if nr == its number and (it has no condition or one holds): trace
    allow
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# linux/audit.h: EM_* | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_SYSCALL_BIT = 0x40000000  # asm/unistd.h

RET_ALLOW = 0x7FFF0000  # linux/seccomp.h
RET_TRACE = 0x7FF00000
RET_USER_NOTIF = 0x7FC00000

# offsets in struct seccomp_data; an argument's low half comes first (both architectures are little-endian here)
_NR, _ARCH, _ARGS = 0, 4, 16

# linux/bpf_common.h
_LD_W_ABS = 0x20
_JEQ_K = 0x15
_JGE_K = 0x35
_RET_K = 0x06

_INSTRUCTION = struct.Struct("<HBBI")
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS


@dataclass(frozen=True, slots=True)
class Condition:
    """All listed arguments (index → value of its low 32 bits) must be equal."""

    arguments: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A call that must stop: always, or only where one of the conditions holds."""

    name: str
    conditions: tuple[Condition, ...] = ()


def _instruction(code: int, operand: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, jump_true, jump_false, operand)


def _load(offset: int) -> bytes:
    return _instruction(_LD_W_ABS, offset)


def _condition(condition: Condition, action: int) -> bytes:
    """Load and compare each argument; on a mismatch jump past the `return`."""
    count = len(condition.arguments)
    code = b""
    for position, (index, value) in enumerate(condition.arguments):
        past = 2 * (count - position - 1) + 1  # the comparisons still to come, and the return
        code += _load(_ARGS + 8 * index) + _instruction(_JEQ_K, value, 0, past)
    return code + _instruction(_RET_K, action)


def _subscription(number: int, subscription: Subscription, action: int) -> bytes:
    """`if nr == number: ...`; what follows reloads nr where a condition has overwritten it."""
    if not subscription.conditions:
        return _instruction(_JEQ_K, number, 0, 1) + _instruction(_RET_K, action)
    body = b"".join(_condition(condition, action) for condition in subscription.conditions)
    body += _instruction(_RET_K, RET_ALLOW)
    return _instruction(_JEQ_K, number, 0, len(body) // _INSTRUCTION.size) + body


def build(
    architecture: str, numbers: Mapping[str, int], subscriptions: Iterable[Subscription], action: int = RET_TRACE
) -> bytes:
    """The filter's instructions (struct sock_filter, 8 bytes each).

    `numbers` maps call names to numbers; a subscription whose call doesn't exist on the architecture (dup2 on aarch64)
    is left out. Raises KeyError for an unknown architecture and ValueError for a filter that is too long.
    """
    program = _load(_ARCH)
    program += _instruction(_JEQ_K, AUDIT_ARCH[architecture], 1, 0) + _instruction(_RET_K, RET_ALLOW)
    program += _load(_NR)
    if architecture == "x86_64":
        program += _instruction(_JGE_K, X32_SYSCALL_BIT, 0, 1) + _instruction(_RET_K, RET_ALLOW)
    for subscription in subscriptions:
        number = numbers.get(subscription.name)
        if number is not None:
            program += _subscription(number, subscription, action)
    program += _instruction(_RET_K, RET_ALLOW)
    if len(program) > MAX_INSTRUCTIONS * _INSTRUCTION.size:
        raise ValueError("the filter has more instructions than the kernel takes")
    return program


def evaluate(program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = (0,) * 6) -> int:
    """What the kernel would answer: an interpreter of the subset used here, for tests and `rbinder --check`."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments)
    accumulator = counter = 0
    while True:
        code, jump_true, jump_false, operand = _INSTRUCTION.unpack_from(program, counter * _INSTRUCTION.size)
        counter += 1
        if code == _LD_W_ABS:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == _JEQ_K:
            counter += jump_true if accumulator == operand else jump_false
        elif code == _JGE_K:
            counter += jump_true if accumulator >= operand else jump_false
        else:
            return int(operand)
