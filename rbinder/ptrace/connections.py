"""Sockets: who they are (an inode), which processes hold them, and the conversation on them."""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict

from rbinder.binder.dialogue import Dialogue
from rbinder.ptrace.lookups import Lookup
from rbinder.ptrace.native import pidfd_getfd
from rbinder.records import ConnectionInfo, Side

_MOST_LINGERING = 4096

Address = tuple[str, int]  # numeric host and port; a Unix socket's path and 0


class Connection:
    """A stream socket of the program's. `holders` counts the descriptors known to refer to it."""

    __slots__ = (
        "address",
        "announced",
        "connect_end",
        "connect_start",
        "connecting",
        "dialogue",
        "error",
        "holders",
        "inode",
        "lookup",
        "writer",
    )

    def __init__(self, inode: str, dialogue: Dialogue) -> None:
        self.inode = inode
        self.dialogue = dialogue
        self.holders = 0
        self.address: Address | None = None  # of the peer
        self.connecting = False
        self.connect_start = 0
        self.connect_end = 0
        self.lookup = (0, 0)
        self.error = 0
        self.announced = False
        self.writer = 0  # the thread whose exchanged call is under way

    def info(self, side: Side) -> ConnectionInfo:
        """What is told of the connection."""
        host, port = self.address or ("", 0)
        start, end = self.lookup
        return ConnectionInfo(side, host, port, "", 0, self.connect_start, self.connect_end, start, end, self.error)


class Descriptors:
    """A descriptor table as far as it is known: a connection, or None for what is no connection of interest.

    Processes may share one (clone(2), CLONE_FILES). `certain` is False where descriptors may be closed unseen
    (io_uring).
    """

    __slots__ = ("certain", "entries", "users")

    def __init__(self) -> None:
        self.entries: dict[int, Connection | Lookup | None] = {}
        self.users = 1
        self.certain = True

    def copy(self) -> Descriptors:
        """What a forked child has."""
        other = Descriptors()
        other.entries = dict(self.entries)
        other.certain = self.certain
        for connection in self.entries.values():
            if connection is not None:
                connection.holders += 1
        return other


class Connections:
    """Every connection by its socket's inode; those nobody is known to hold any more linger for a while, because a
    descriptor may be on its way to another process (SCM_RIGHTS)."""

    def __init__(self) -> None:
        self._known: dict[str, Connection] = {}
        self._lingering: OrderedDict[str, Connection] = OrderedDict()

    def find(self, inode: str) -> Connection | None:
        """The connection with this inode, lingering ones included."""
        connection = self._known.get(inode)
        if connection is None and (connection := self._lingering.pop(inode, None)) is not None:
            self._known[inode] = connection
        return connection

    def add(self, connection: Connection) -> None:
        """A new connection; one of the same inode is forgotten."""
        self._lingering.pop(connection.inode, None)
        self._known[connection.inode] = connection

    def linger(self, connection: Connection) -> None:
        """Nobody is known to hold it."""
        if self._known.pop(connection.inode, None) is not None:
            self._lingering[connection.inode] = connection
            if len(self._lingering) > _MOST_LINGERING:
                self._lingering.popitem(last=False)


def socket_inode(tgid: int, descriptor: int) -> str | None:
    """`socket:[12345]` for a socket, else None. Raises PermissionError where the process may not be looked at."""
    try:
        target = os.readlink(f"/proc/{tgid}/fd/{descriptor}")
    except PermissionError:
        raise
    except OSError:
        return None
    return target if target.startswith("socket:[") else None


def parse_address(data: bytes) -> tuple[int, Address]:
    """(family, address) of a struct sockaddr; the address is ("", 0) for families that carry no HTTP."""
    if len(data) < 2:
        return 0, ("", 0)
    (family,) = struct.unpack_from("<H", data)
    if family == socket.AF_INET and len(data) >= 8:
        return family, (socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack_from(">H", data, 2)[0])
    if family == socket.AF_INET6 and len(data) >= 24:
        return family, (_inet6(data[8:24]), struct.unpack_from(">H", data, 2)[0])
    if family == socket.AF_UNIX:
        path = data[2:]
        abstract = path[:1] == b"\0"
        name = path[1:] if abstract else path.partition(b"\0")[0]
        return family, ("@" * abstract + name.decode("utf-8", "replace"), 0)
    return family, ("", 0)


def _inet6(raw: bytes) -> str:
    """IPv4-mapped addresses are told as the IPv4 they are (RFC 4291, 2.5.5.2)."""
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


class Inspector:
    """Looks at a tracee's socket through a copy of its descriptor; knows once that this isn't allowed here."""

    def __init__(self, pidfd_getfd_number: int) -> None:
        self._number = pidfd_getfd_number
        self.allowed = True

    def _copy(self, tgid: int, descriptor: int) -> socket.socket | None:
        if not self.allowed:
            return None
        try:
            return socket.socket(fileno=pidfd_getfd(tgid, descriptor, self._number))
        except PermissionError:
            self.allowed = False
        except OSError:
            pass
        return None

    def is_stream(self, tgid: int, descriptor: int) -> bool:
        """Whether it is a stream socket that can carry HTTP; True where that can't be known."""
        copy = self._copy(tgid, descriptor)
        if copy is None:
            return True
        with copy:
            return copy.type == socket.SOCK_STREAM and copy.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)

    def peer(self, tgid: int, descriptor: int) -> Address | None:
        """The peer's address, where it can be had."""
        copy = self._copy(tgid, descriptor)
        if copy is None:
            return None
        with copy:
            try:
                name = copy.getpeername()
            except OSError:
                return None
            if isinstance(name, tuple):
                host = str(name[0])
                return host.removeprefix("::ffff:") if "." in host else host, int(name[1])
            return (name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)), 0
