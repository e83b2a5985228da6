"""Load whose every request is known: asks at a fixed rate on kept connections, and tells what each answer was worth.

The trace id that a request is sent with says whose it is: 4 bytes for the load, 4 for its era, 8 for the request.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

PATHS = ("hello", "work", "io", "work")
_SPANS = {"hello": 1, "work": 2, "io": 2}
PARENT = "00f067aa0ba902b7"
LIMIT = 30.0  # seconds for an answer


@dataclass
class Asked:
    """What came of the requests so far. An era is a stretch of time that whoever reads this divides them by."""

    answered: Counter[int] = field(default_factory=Counter)  # by era
    spans: int = 0  # that the answered requests have made
    failed: int = 0  # requests that only a killed process's connection has cost
    bound: int = 0  # calls to the back that carried their request's trace
    unbound: int = 0  # calls to the back with a trace of their own
    wrong: list[str] = field(default_factory=list)  # whatever must not be, a sentence each


class Askers:
    """A thread for each connection, until `stop`."""

    def __init__(self, number: int, port: int, connections: int, rate: int) -> None:
        self.asked = Asked()
        self.era = 0
        self._port, self._pause = port, connections / rate
        self._prefix = 0x50AB0000 + number
        self._sequence = itertools.count(1)
        self._doomed: set[int] = set()  # our ports of connections to processes that are killed
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def mark(self, era: int) -> bytes:
        """How the trace ids of an era's requests begin."""
        return self._prefix.to_bytes(4, "big") + era.to_bytes(4, "big")

    def doom(self, ports: set[int]) -> None:
        """A request may fail on each of these connections of ours, once."""
        with self._lock:
            self._doomed |= ports

    def stop(self) -> None:
        """Return when all that was asked is answered."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        client, port = self._connected()
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1.0)  # after a standstill there is no rush
            try:
                self._ask_once(client)
            except (OSError, http.client.HTTPException) as error:
                self._failed(port, error)
                client.close()
            if client.sock is None:  # or the answer was that connection's last
                client, port = self._connected()
        client.close()

    def _connected(self) -> tuple[http.client.HTTPConnection, int]:
        """A connection, and our port."""
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT)
        client.connect()
        return client, client.sock.getsockname()[1]

    def _ask_once(self, client: http.client.HTTPConnection) -> None:
        era, number = self.era, next(self._sequence)
        path = PATHS[number % len(PATHS)]
        trace = self.mark(era).hex() + f"{number:016x}"
        client.request("GET", f"/{path}?id={number}", headers={"traceparent": f"00-{trace}-{PARENT}-01"})
        answer = client.getresponse()
        body = answer.read()
        with self._lock:
            if answer.status != 200:
                self.asked.wrong.append(f"/{path} was answered with {answer.status}")
            self.asked.answered[era] += 1
            self.asked.spans += _SPANS[path]
            if path == "hello":
                self._expect(body == b"hello", f"/hello was answered with {body!r}")
            else:
                self._check(json.loads(body), number, trace)

    def _check(self, said: dict[str, str], number: int, trace: str) -> None:
        self._expect(said["id"] == str(number), f"request {number} got the answer to {said['id']}")
        carried = said["traceparent"].split("-")
        if len(carried) != 4:
            self.asked.wrong.append(f"request {number} led to a call with the traceparent {said['traceparent']!r}")
        elif carried[1] == trace:
            self.asked.bound += 1
            self._expect(carried[2] != PARENT, f"request {number} led to a call whose traceparent is the client's")
        else:
            self.asked.unbound += 1
            theirs = carried[1].startswith(f"{self._prefix:08x}")
            self._expect(not theirs, f"request {number} led to a call in another request's trace")

    def _expect(self, good: bool, sentence: str) -> None:
        if not good:
            self.asked.wrong.append(sentence)

    def _failed(self, port: int, error: Exception) -> None:
        with self._lock:
            self._expect(port in self._doomed, f"a request failed on a connection to a living process: {error!r}")
            self._doomed.discard(port)
            self.asked.failed += 1
