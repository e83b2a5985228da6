"""The one list of system calls the ptrace engine asks to see; filter, dispatch and documentation come from it."""

from __future__ import annotations

from importlib import import_module

from rbinder.bpf.program import Condition, Subscription

SOL_SOCKET, SO_ERROR = 1, 4  # asm-generic/socket.h
F_DUPFD, F_DUPFD_CLOEXEC = 0, 1030  # fcntl.h
PR_SET_SECCOMP = 22  # linux/prctl.h

READS = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg")
WRITES = ("write", "writev", "sendto", "sendmsg", "sendmmsg")

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    *(Subscription(name) for name in READS),
    *(Subscription(name) for name in WRITES),
    Subscription("close"),
    Subscription("accept"),
    Subscription("accept4"),
    Subscription("connect"),
    Subscription("shutdown"),
    Subscription("sendfile"),
    Subscription("splice"),
    Subscription("dup"),
    Subscription("dup2"),
    Subscription("dup3"),
    Subscription("close_range"),
    Subscription("fcntl", (Condition(((1, F_DUPFD),)), Condition(((1, F_DUPFD_CLOEXEC),)))),
    # with an offset of -1 they work on sockets like readv and writev (readv(2)); nobody is known to do it
    Subscription("preadv2", (Condition(((3, 0xFFFFFFFF),)),)),
    Subscription("pwritev2", (Condition(((3, 0xFFFFFFFF),)),)),
    # how a non-blocking connect turned out
    Subscription("getsockopt", (Condition(((1, SOL_SOCKET), (2, SO_ERROR))),)),
    # what changes the rules: a filter of the program's own, a tracer below us, rings that bypass system calls
    Subscription("prctl", (Condition(((0, PR_SET_SECCOMP),)),)),
    Subscription("seccomp"),
    Subscription("ptrace"),
    Subscription("io_uring_setup"),
)

# Calls newer than python-ptrace's tables; they have one number on both architectures (since Linux 5.1).
_NEWER = {"io_uring_setup": 425, "pidfd_open": 434, "close_range": 436, "pidfd_getfd": 438}


def numbers(architecture: str) -> dict[str, int]:
    """System call names → numbers, from python-ptrace's tables. Raises KeyError for an unknown architecture."""
    if architecture not in ("x86_64", "aarch64"):
        raise KeyError(architecture)
    table = import_module(f"ptrace.syscall.linux.{architecture}").SYSCALL_NAMES
    # the x86-64 table also lists the x32 interface's numbers, 512 and up: the lower ones are ours
    found = {name: number for number, name in sorted(table.items(), reverse=True)}
    return {**_NEWER, **found}
