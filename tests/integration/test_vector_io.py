"""What goes over a socket by preadv2(2) and pwritev2(2) is left alone."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from harness import DEADLINE, TARGETS, Rbinder

ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def answer_once(server: socket.socket) -> bytes:
    connection, _ = server.accept()
    with connection:
        connection.settimeout(DEADLINE)
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        connection.sendall(ANSWER)
        return request


def test_nothing_is_inserted(rbinder: Rbinder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(DEADLINE)
        request = pool.submit(answer_once, server)
        done = rbinder.run(sys.executable, str(TARGETS / "vector_io.py"), str(server.getsockname()[1]))
        assert request.result(DEADLINE) == b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (done.status, done.stdout, done.stderr) == (0, "HTTP/1.1 404 Not Found\n", "")
