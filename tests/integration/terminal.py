"""A pseudo-terminal with a program on it, spoken to as a person does: type, and wait for what appears."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence

from harness import DEADLINE


class Terminal:
    """Runs `command` as the leader of a session on a terminal; ends it with the `with`."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80
    ) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), dict(environment))
        self.resize(24, 80)
        self._seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._master)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for output that matches, and take it and all before it away."""
        end = time.monotonic() + DEADLINE
        while not (match := re.search(pattern, self._seen)):
            ready = select.select([self._master], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, f"no {pattern!r} in {self._seen!r}"
            self._seen += os.read(self._master, 65536).decode(errors="replace")
        self._seen = self._seen[match.end() :]
        return match
