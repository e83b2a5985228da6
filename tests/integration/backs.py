"""A back end for programs that ask: untraced, in threads of the test's own; it keeps every head that it gets."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROOM = 65536  # bytes that a connection takes before it is read
_POLLRDHUP = 0x2000  # linux/poll.h


class Back:
    """Answers "ok"; "/unanswered" is read and not answered, "/unread" has a body that nobody reads."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(256)
        self.port: int = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._heads: list[bytes] = []

    def heads(self, path: str = "/asked") -> list[bytes]:
        """The heads of requests for that path, so far."""
        start = f"{path} HTTP/1.1\r\n".encode()
        with self._lock:
            return [head for head in self._heads if head.partition(b" ")[2].startswith(start)]

    def traced(self, path: str = "/asked") -> int:
        """How many of them carry a trace context."""
        heads = self.heads(path)
        assert all(head.count(b"\r\ntraceparent: 00-") <= 1 for head in heads)
        return sum(b"\r\ntraceparent: 00-" in head for head in heads)

    def run(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down: the test is over
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            unread = b""
            while piece := connection.recv(4096):
                unread += piece
                while b"\r\n\r\n" in unread:
                    head, _, unread = unread.partition(b"\r\n\r\n")
                    with self._lock:
                        self._heads.append(head)
                    if b" /unread " in head:
                        watch = select.poll()
                        watch.register(connection, _POLLRDHUP)
                        watch.poll()
                        return
                    if b" /unanswered " not in head:
                        connection.sendall(ANSWER)


@contextlib.contextmanager
def back_end() -> Iterator[Back]:
    back = Back()
    with back.listener:
        thread = threading.Thread(target=back.run)
        thread.start()
        yield back
        back.listener.shutdown(socket.SHUT_RDWR)
        thread.join()
