"""How often the ptrace engine stops a program for one proxied request: counted, not timed."""

from __future__ import annotations

import http.client
import re
from collections import Counter
from contextlib import closing

from apps import App
from programs import Failure, Programs, free_port, rbinder

REQUESTS = 200


def counted(programs: Programs, app: App, back: int, requests: int) -> Counter[str]:
    """All stops, by name, of a front that is asked so often on one connection."""
    port = free_port()
    front = programs.start([*rbinder("-vv", "-x", "none", "-e", "ptrace"), *app.command(port, back)])
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        client.sock = front.connection(port)  # no probe before it: nothing but the requests may differ
        for number in range(requests):
            client.request("GET", f"/work?id={number}")
            with client.getresponse() as answer:
                answer.read()
            if answer.status != 200:
                raise Failure(f"{app.name} doesn't answer")
        said = re.search(r"\d+ stops: (.*)", front.stop())
    if said is None:
        raise Failure("rbinder doesn't tell its stops")
    return Counter({name: int(count) for name, count in (entry.split() for entry in said[1].split(", "))})


def measure(programs: Programs, apps: list[App], back: int) -> list[str]:
    """The lines to print: what twice as many requests cost more, for each request."""
    lines = []
    for app in apps:
        more = counted(programs, app, back, 2 * REQUESTS)
        more.subtract(counted(programs, app, back, REQUESTS))
        listed = ", ".join(f"{name} {count / REQUESTS:.2f}" for name, count in more.most_common() if count)
        lines.append(f"{app.name:<8}{more.total() / REQUESTS:7.2f}   {listed}")
    return lines
