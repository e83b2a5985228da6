"""Children and threads, however they are started: they behave as ever, and their requests are seen."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import TARGETS, Collector, Rbinder, free_port, until
from peers import not_found, peer
from processes import UNFILTERED, UNSENT, below, children, end, run, same, tracer

Build = Callable[[str], Path]
CLIENT, SERVER = "CLIENT", "SERVER"


@pytest.fixture
def port() -> Iterator[int]:
    with peer(not_found) as number:
        yield number


def calls(collector: Collector, count: int) -> list[dict[str, object]]:
    found = collector.spans(count, lambda span: span["kind"] == CLIENT)
    assert len(found) == count
    return found


def get(port: int, path: str = "/") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        body: bytes = response.read()
    return body


@pytest.mark.parametrize("mode", ["ask", "spawn", "exec", "threads"])
def test_ways_to_start_children(mode: str, rbinder: Rbinder, collector: Collector, build: Build, port: int) -> None:
    program = [str(build("children.c")), mode, str(port)]
    untouched = run(program)
    done = run(below(rbinder, *program, options=()), rbinder.environment())
    assert done.visible == untouched.visible
    assert done.status == 0
    calls(collector, {"ask": 1, "spawn": 3, "exec": 1, "threads": 200}[mode])


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
@pytest.mark.parametrize("mode", ["wall", "spawn", "exec", "threads"])
def test_the_same_output(mode: str, options: tuple[str, ...], rbinder: Rbinder, build: Build, port: int) -> None:
    assert same(rbinder, str(build("children.c")), mode, str(port), options=options).remarks == []


PYTHON_THREADS = """
import sys, threading, urllib.error, urllib.request
def ask():
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/")
    except urllib.error.HTTPError as error:
        answers.append(error.code)
answers = []
for wave in range(10):
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(len(answers))
"""

PYTHON_CHILDREN = """
import subprocess, sys
curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", sys.argv[1]]
for how in ({"close_fds": True}, {"close_fds": False}, {"start_new_session": True}, {"preexec_fn": lambda: None}):
    done = subprocess.run(curl, capture_output=True, **how)
    print(done.stdout.decode(), done.returncode)
"""


def test_200_python_threads(rbinder: Rbinder, collector: Collector, port: int) -> None:
    command = below(rbinder, sys.executable, "-c", PYTHON_THREADS, str(port), options=())
    assert run(command, rbinder.environment()).visible == (0, "200\n", "")
    calls(collector, 200)


def test_python_subprocesses(rbinder: Rbinder, collector: Collector, port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    command = below(rbinder, sys.executable, "-c", PYTHON_CHILDREN, url, options=())
    assert run(command, rbinder.environment()).visible == (0, "404 0\n" * 4, "")
    calls(collector, 4)


@pytest.mark.parametrize("options", [UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
def test_a_chain_of_executions(options: tuple[str, ...], rbinder: Rbinder) -> None:
    script = '[ "$1" -eq 0 ] && exit 42; exec sh -c "$0" "$0" $(($1 - 1))'
    assert same(rbinder, "sh", "-c", script, script, "20", options=options).status == 42


def test_1000_short_processes(rbinder: Rbinder) -> None:
    script = "i=0; while [ $i -lt 1000 ]; do /bin/true || exit 1; i=$((i + 1)); done; echo $i"
    assert run(below(rbinder, "sh", "-c", script)).visible == (0, "1000\n", "")


def test_prefork_in_c(rbinder: Rbinder, collector: Collector, build: Build) -> None:
    port = free_port()
    program = rbinder.start(str(build("servers.c")), "prefork", str(port), port=port)
    workers = {int(get(port)) for _ in range(40)}
    assert workers <= set(children(*children(tracer(program.process.pid))))
    served = collector.spans(40, lambda span: span["kind"] == SERVER)
    assert len(served) == 40
    assert program.stop(0).remarks == []


def test_prefork_in_python(rbinder: Rbinder, collector: Collector) -> None:
    """gunicorn; SIGHUP makes it replace its workers while it serves."""
    port, back = free_port(), free_port()
    behind = rbinder.start(sys.executable, str(TARGETS / "back.py"), str(back), options=UNSENT, port=back)
    place = ["--bind", f"127.0.0.1:{port}", "--chdir", str(TARGETS), "--workers", "3"]
    command = [sys.executable, "-m", "gunicorn", *place, "front_flask:app"]
    program = rbinder.start(*command, environment={"BACK_PORT": str(back)}, port=port)
    (master,) = children(tracer(program.process.pid))
    before = until(lambda: len(children(master)) == 3 and set(children(master)), lambda: "three workers")
    assert json.loads(get(port, "/work?id=1"))["id"] == "1"
    program.process.send_signal(signal.SIGHUP)
    until(lambda: len(children(master)) == 3 and not before & set(children(master)), lambda: "three other workers")
    assert json.loads(get(port, "/work?id=2"))["id"] == "2"
    assert len(collector.spans(4)) == 4
    assert program.stop(0).remarks == []
    behind.stop()


def test_a_daemon(rbinder: Rbinder, collector: Collector, build: Build, tmp_path: Path) -> None:
    """rbinder ends with the first process, its pipes with it (or `run` would not return); the daemon is traced on."""
    port, file = free_port(), tmp_path / "pid"
    command = below(rbinder, str(build("servers.c")), "daemon", str(port), str(file), options=())
    assert run(command, rbinder.environment()).visible == (3, "", "")
    daemon = int(until(lambda: file.exists() and file.read_text().endswith("\n") and file.read_text(), lambda: "a pid"))
    try:
        assert int(get(port)) == daemon
        (span,) = collector.spans(1)
        assert span["kind"] == SERVER
    finally:
        end(daemon)
