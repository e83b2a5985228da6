"""What a process may do, and what executing a file would add to that (proc(5), execve(2))."""

from __future__ import annotations

import os
import stat

_CAP_SYS_PTRACE = 19  # linux/capability.h


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status (proc(5)). Raises OSError."""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat (proc(5)) from the third, the state, on. Raises OSError.

    The second is the process's name, in which there may be anything.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode("ascii").split()


def is_privileged() -> bool:
    """Whether a setuid program keeps its privilege below us: CAP_SYS_PTRACE is in force (execve(2))."""
    return bool(int(status(os.getpid())["CapEff"], 16) >> _CAP_SYS_PTRACE & 1)


def gains_privilege(path: str) -> bool:
    """Whether executing the file would change the user or add capabilities (execve(2))."""
    try:
        status = os.stat(path)
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            return False
        if status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid():
            return True
        group_bits = stat.S_ISGID | stat.S_IXGRP
        if status.st_mode & group_bits == group_bits and status.st_gid != os.getegid():
            return True
        return "security.capability" in os.listxattr(path)
    except OSError:
        return False
