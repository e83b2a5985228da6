"""rbinder's only way to speak: lines on stderr that never block for long, never fail, never repeat themselves."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

WARNING_DELAY = 3.0  # seconds: a program that ends sooner is followed by one line that tells all
PATIENCE = 1.0  # seconds to wait for a terminal or pipe that takes nothing
_PIECE = 4096  # bytes: PIPE_BUF on Linux (pipe(7)), so what poll(2) calls writable takes them without blocking
_REMEMBERED = 1000  # sentences


class Stderr:
    """Safe to use from several threads."""

    def __init__(self, verbosity: int = 0, descriptor: int = 2) -> None:
        self._verbosity = verbosity
        self._descriptor = descriptor
        self._said: set[str] = set()
        self._warned: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()
        self.encoding = getattr(sys.stderr, "encoding", None) or "utf-8"

    def say(self, sentence: str) -> None:
        """Tell the user, once, unless told to be quiet."""
        with self._lock:
            if self._verbosity < 0 or sentence in self._said or len(self._said) >= _REMEMBERED:
                return
            self._said.add(sentence)
        self.write(f"rbinder: {visible(sentence)}\n")

    def warn(self, sentence: str) -> None:
        """Say it, unless the program ends within WARNING_DELAY: then what comes of it is said instead."""
        with self._lock:
            if sentence in self._warned:
                return
            self._warned[sentence] = timer = threading.Timer(WARNING_DELAY, self.say, (sentence,))
        timer.daemon = True
        timer.start()

    def withhold(self) -> None:
        """Forget the warnings that have not been said yet."""
        with self._lock:
            for timer in self._warned.values():
                timer.cancel()

    def write(self, text: str) -> bool:
        """Write as it is; tells whether all of it was taken."""
        data = text.encode(self.encoding, "replace")
        deadline = time.monotonic() + PATIENCE
        with self._lock:
            while data:
                taken = self._write_piece(data[:_PIECE], deadline)
                if not taken:
                    return False
                data = data[taken:]
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def _write_piece(self, piece: bytes, deadline: float) -> int:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        try:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return 0
            return os.write(self._descriptor, piece)
        except OSError:
            return 0


def visible(text: str) -> str:
    """Text without control characters, which a request's target could send to the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)
