"""A tracee's memory: what a call's buffers hold, read and written from outside."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from rbinder.kernel import libc
from rbinder.ptrace.native import IoVector

_WINDOW = 1 << 16  # bytes read at once
IOV_MAX = 1024  # limits.h
MESSAGE_VECTOR = 64  # bytes; struct mmsghdr: a struct msghdr, and the length of what went through
_MESSAGE_LENGTH = 56  # offset of that length
_buffer = ctypes.create_string_buffer(_WINDOW)
_local = IoVector(ctypes.addressof(_buffer), 0)
_remote = IoVector(0, 0)
_local_address, _remote_address = ctypes.addressof(_local), ctypes.addressof(_remote)
_readv = libc.process_vm_readv
_readv.argtypes = _argtypes = (
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_readv.restype = ctypes.c_ssize_t
_writev = libc.process_vm_writev
_writev.argtypes = _argtypes
_writev.restype = ctypes.c_ssize_t
_view = memoryview(_buffer).cast("B")
_iovec = struct.Struct("<QQ")


def read(tid: int, address: int, size: int) -> bytes:
    """`size` bytes, or as many as can be read (none: an unmapped address or a tracee that is gone)."""
    if size > _WINDOW:
        pieces = []
        while size > 0 and (piece := read(tid, address, min(size, _WINDOW))):
            pieces.append(piece)
            address += len(piece)
            size -= len(piece)
        return b"".join(pieces)
    if not _files.preferred:
        _local.length = _remote.length = size
        _remote.base = address
        count = _readv(tid, _local_address, 1, _remote_address, 1, 0)
        if count >= 0:
            return bytes(_view[:count])
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
            return b""
    return _files.read(tid, address, size)


def write(tid: int, address: int, data: bytes) -> bool:
    """Whether all of `data` (at most 64 KiB) is now at `address`."""
    size = len(data)
    if not _files.preferred:
        _view[:size] = data
        _local.length = _remote.length = size
        _remote.base = address
        if _writev(tid, _local_address, 1, _remote_address, 1, 0) == size:
            return True
    return _files.write(tid, address, data)


def forget(tid: int) -> None:
    """The thread is gone, or has another address space now."""
    _files.close(tid)


class _Files:
    """/proc/TID/mem, which a tracer may always open: for where process_vm_readv is refused (a container's profile).

    An open file stays with the address space it was opened for: `close` it at an exec.
    """

    def __init__(self) -> None:
        self.preferred = False  # the other way has been refused where this one worked
        self._open: dict[int, int] = {}

    def _descriptor(self, tid: int) -> int:
        descriptor = self._open.get(tid)
        if descriptor is None:
            if len(self._open) >= _MOST_FILES:
                self.close(next(iter(self._open)))
            descriptor = self._open[tid] = os.open(f"/proc/{tid}/mem", os.O_RDWR)
        return descriptor

    def read(self, tid: int, address: int, size: int) -> bytes:
        """As the function of that name."""
        try:
            data = os.pread(self._descriptor(tid), size, address)
        except (OSError, OverflowError):
            return b""
        self.preferred = True
        return data

    def write(self, tid: int, address: int, data: bytes) -> bool:
        """As the function of that name."""
        try:
            return os.pwrite(self._descriptor(tid), data, address) == len(data)
        except (OSError, OverflowError):
            return False

    def close(self, tid: int) -> None:
        """Close the thread's file, if there is one."""
        descriptor = self._open.pop(tid, None)
        if descriptor is not None:
            os.close(descriptor)


_MOST_FILES = 512
_files = _Files()

Vectors = list[tuple[int, int]]


class Buffers:
    """The bytes a call sends or received: (address, length) pieces in a tracee's memory, read on demand."""

    __slots__ = ("_tid", "total", "vectors")

    def __init__(self, tid: int, vectors: Vectors) -> None:
        self._tid = tid
        self.vectors = vectors
        self.total = vectors[0][1] if len(vectors) == 1 else sum(length for _, length in vectors)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the memory can't be read."""
        if len(self.vectors) == 1:
            return read(self._tid, self.vectors[0][0] + offset, size)
        return b"".join(read(self._tid, address, length) for address, length in self.piece(offset, size))

    def piece(self, offset: int, size: int) -> Vectors:
        """The vectors that cover `size` bytes from `offset` on."""
        found: Vectors = []
        for address, length in self.vectors:
            if size <= 0:
                break
            if offset >= length:
                offset -= length
                continue
            take = min(length - offset, size)
            found.append((address + offset, take))
            size -= take
            offset = 0
        return found


def vectors(tid: int, address: int, count: int) -> Vectors:
    """A struct iovec array in the tracee; empty where it can't be read or is too long."""
    if not 0 < count <= IOV_MAX:
        return []
    data = read(tid, address, 16 * count)
    return list(_iovec.iter_unpack(data)) if len(data) == 16 * count else []


def message_vectors(tid: int, address: int) -> Vectors:
    """The iovec array of a struct msghdr (64-bit layout; musl keeps garbage in the count's upper half)."""
    data = read(tid, address, 56)
    if len(data) < 56:
        return []
    _, _, base, count = struct.unpack_from("<QQQI", data)
    return vectors(tid, base, count)


def message_length(tid: int, address: int) -> int:
    """msg_len of a struct mmsghdr."""
    return int.from_bytes(read(tid, address + _MESSAGE_LENGTH, 4), "little")


def set_message_length(tid: int, address: int, length: int) -> None:
    """Set msg_len of a struct mmsghdr."""
    write(tid, address + _MESSAGE_LENGTH, length.to_bytes(4, "little"))
