"""Whether the agent works here, found out with a program that makes one request."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from rbinder.agent import contract, place
from rbinder.agent.carried import carrying
from rbinder.agent.shared import Shared
from rbinder.config import Config

_LIMIT = 4.0  # seconds
_PROGRAM = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: check\\r\\n\\r\\n")
    connection.recv(1)
"""


def load_agent(library: Path) -> dict[str, str]:
    """Run a program with the agent; what of it went wrong, for each step, "" where it worked (for probes.in_child)."""
    found = place.find(library)
    if found is None:
        return {"place": "no directory can be loaded from", "header": "", "record": ""}
    try:
        shared = Shared(Config())
        environment = carrying(dict(os.environb), found.path, os.getpid(), shared.descriptor, shared.token)
        request = _request(environment)
        recorded = os.pread(shared.descriptor, 8, contract.HEAD) != bytes(8)
    except OSError as error:
        return {"place": str(error), "header": "", "record": ""}
    finally:
        found.remove()
    return {
        "place": "",
        "header": "" if b"\r\ntraceparent: 00-" in request else "a request went out without its header",
        "record": "" if recorded else "a request was not recorded",
    }


def _request(environment: dict[bytes, bytes]) -> bytes:
    """What the program's request looks like from outside."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_LIMIT)
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(listener.getsockname()[1])]
        null = subprocess.DEVNULL
        with subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null) as program:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(_LIMIT)
                    head = _head(connection)
                program.wait(_LIMIT)  # what was sent is recorded once that is known
                return head
            except subprocess.TimeoutExpired:
                raise TimeoutError("a program did not end") from None
            finally:
                program.kill()


def _head(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (piece := connection.recv(4096)):
        received += piece
    return received
