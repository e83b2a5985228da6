"""What launcher and tracer tell each other: small messages over a socket pair, whole or not at all."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import socket
import struct

DOORBELL = signal.SIGUSR2  # sent to the tracer: there is a message
_MESSAGE = struct.Struct("<iiii")


def exit_code(status: int) -> int:
    """What a shell makes of the status that waitpid(2) tells of an ended process: its own, or 128 + n for a signal."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


class Control(enum.IntEnum):
    """tracer → launcher: STARTED, EXITED(status, tracees left), STOPPED(signal), STILL_STOPPED(signal), FAILED(errno).
    launcher → tracer: SIGNAL(number, si_code, sender), IS_IT_STOPPED(signal), DETACHED, CONTAINER_ENDS.

    STOPPED may be old news by the time it is read: it is acted upon only when the answer to IS_IT_STOPPED has come.
    """

    EXITED = 1
    STOPPED = 2
    FAILED = 3
    SIGNAL = 4
    DETACHED = 5
    CONTAINER_ENDS = 6
    STARTED = 7
    IS_IT_STOPPED = 8
    STILL_STOPPED = 9


class Link:
    """One end. `remaining` is how many tracees were left when the program ended."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.remaining = 0
        end.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """Both ends, close-on-exec."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @property
    def descriptor(self) -> int:
        """For poll(2)."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def send(self, kind: Control, *values: int) -> None:
        """Tell the other end; nothing happens where it is gone."""
        with contextlib.suppress(OSError):
            self._end.send(_MESSAGE.pack(kind, *(*values, 0, 0, 0)[:3]))

    def take(self) -> list[tuple[Control, tuple[int, int, int]] | None]:
        """What has arrived; a None at the end: the other end is closed."""
        messages: list[tuple[Control, tuple[int, int, int]] | None] = []
        while True:
            try:
                data = self._end.recv(_MESSAGE.size)
            except BlockingIOError:
                return messages
            except ConnectionResetError:
                continue  # it ended with messages of ours unread (unix(7)); what it has sent before is still to come
            except OSError:
                data = b""
            if len(data) < _MESSAGE.size:
                return [*messages, None]
            kind, *values = _MESSAGE.unpack(data)
            messages.append((Control(kind), (values[0], values[1], values[2])))

    def receive(self) -> list[tuple[Control, int] | None]:
        """As `take`, with the first value alone."""
        found: list[tuple[Control, int] | None] = []
        for message in self.take():
            if message is None:
                found.append(None)
                continue
            kind, values = message
            if kind is Control.EXITED:
                self.remaining = values[1]
            found.append((kind, values[0]))
        return found
