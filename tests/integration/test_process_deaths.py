"""When a process of rbinder's is killed or stopped, or can't write: what becomes of the program is as documented."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import WITH_AGENT, WITH_PTRACE
from harness import Rbinder, clean_environment, until
from peers import not_found, peer
from processes import Conversation, below, children, end, exporter, gone, refused, run, tracer, wait_until_gone

LIVING = "echo ready; read line; curl -s -o /dev/null $0; echo $line; exit 6"
NO_MOUNTS = refused("unshare", "--mount")
PATIENT, BRIEF = "20", "1"  # seconds that rbinder waits at its end


@pytest.fixture
def url() -> Iterator[str]:
    with peer(not_found) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def program(request: pytest.FixtureRequest, rbinder: Rbinder, tmp_path: Path, url: str) -> Iterator[Conversation]:
    environment = rbinder.environment({"RBINDER_EXIT_TIMEOUT": getattr(request, "param", PATIENT)})
    command = below(rbinder, "sh", "-c", LIVING, url, options=())
    with (
        (tmp_path / "stderr").open("wb") as errors,
        Conversation(command, tmp_path / "log", environment, stderr=errors) as conversation,
    ):
        conversation.wait_for("ready")
        yield conversation


def say(program: Conversation) -> None:
    assert program.process.stdin is not None
    program.process.stdin.write(b"alive\n")
    program.process.stdin.flush()


def remarks(tmp_path: Path) -> list[str]:
    return (tmp_path / "stderr").read_text().splitlines()


@WITH_PTRACE  # a program's calls fail without their tracer
def test_the_tracer_is_killed(program: Conversation, tmp_path: Path) -> None:
    (pid,) = children(tracer(program.process.pid))
    os.kill(tracer(program.process.pid), signal.SIGKILL)
    assert program.end() == 137
    wait_until_gone(pid)
    (remark,) = remarks(tmp_path)
    assert "the tracer was killed, and the program with it" in remark


@WITH_AGENT
def test_the_keeper_is_killed(program: Conversation, tmp_path: Path) -> None:
    (pid,) = children(tracer(program.process.pid))
    end(tracer(program.process.pid))
    say(program)
    program.wait_for("alive")
    assert program.end() == 6
    wait_until_gone(pid)
    (remark,) = remarks(tmp_path)
    assert "the keeper was killed: the program goes on" in remark


@WITH_AGENT
def test_the_program_outlives_its_launcher(program: Conversation) -> None:
    keeping, exporting = tracer(program.process.pid), exporter(program.process.pid)
    (pid,) = children(keeping)
    end(program.process.pid)
    say(program)
    program.wait_for("alive")
    for each in (pid, keeping, exporting):
        wait_until_gone(each)


@WITH_AGENT
def test_a_collector_follows_another(program: Conversation, tmp_path: Path) -> None:
    first = exporter(program.process.pid)
    end(first)
    until(lambda: exporter(program.process.pid) != first, lambda: "another collector")
    say(program)
    program.wait_for("alive")
    assert program.end() == 6
    (remark,) = remarks(tmp_path)
    assert "the collector was killed" in remark


@WITH_PTRACE  # with a tracer gone, its program has to go as well
def test_the_launcher_is_killed(program: Conversation) -> None:
    tracing, exporting = tracer(program.process.pid), exporter(program.process.pid)
    (pid,) = children(tracing)
    program.process.kill()
    for each in (pid, tracing, exporting):
        wait_until_gone(each)


def test_the_collector_is_killed(program: Conversation, tmp_path: Path) -> None:
    end(exporter(program.process.pid))
    say(program)
    program.wait_for("alive")
    assert program.end() == 6
    (remark,) = remarks(tmp_path)
    assert "the collector was killed" in remark


@pytest.mark.parametrize("program", [BRIEF], indirect=True)
def test_the_collector_is_stopped(program: Conversation, tmp_path: Path) -> None:
    stopped = exporter(program.process.pid)
    os.kill(stopped, signal.SIGSTOP)
    say(program)
    program.wait_for("alive")
    assert program.end() == 6
    (remark,) = remarks(tmp_path)
    assert "could not be handed over in time" in remark
    assert gone(stopped)


def test_a_signal_at_the_very_end_does_not_change_the_status(rbinder: Rbinder) -> None:
    """The launcher is told of the end by a tracer that may leave a message unread."""
    script = "trap '' HUP; kill -HUP $(ps -o ppid= -p $PPID); exit 9"
    for _ in range(10):
        assert run(below(rbinder, "sh", "-c", script)).status == 9


@pytest.mark.skipif(bool(NO_MOUNTS), reason=f"no file system can be mounted here: {NO_MOUNTS}")
def test_a_disk_that_fills_up(rbinder: Rbinder, tmp_path: Path, url: str) -> None:
    """The program goes on, the file has whole lines only, and what was lost is said at the end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=16k none {disk} || exit 99
        "$@" || exit $?
        cp {disk}/spans {tmp_path}/spans
    """
    many = "i=0; while [ $i -lt 60 ]; do curl -s -o /dev/null $0; i=$((i + 1)); done; echo $i"
    traced = below(rbinder, "sh", "-c", many, url, options=("-x", "file", "-o", f"{disk}/spans"))
    # several lines fit, however late the first one is written
    environment = rbinder.environment({"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"})
    done = run(["unshare", "--mount", "sh", "-c", script, "sh", *traced], environment)
    assert done.visible == (0, "60\n", "")
    assert "No space left" in done.remarks[-1]
    assert "lost" in done.remarks[-1]
    assert len(done.remarks) <= 2  # a program that runs on for long is told at once as well
    kept = (tmp_path / "spans").read_bytes()
    assert kept.endswith(b"}\n")


def test_a_program_that_dies_in_the_middle_of_a_write(rbinder: Rbinder) -> None:
    """Its edited request is more than the connection takes; it is killed while it waits to send the rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = (
            "import socket,sys\n"
            "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "s.sendall(b'POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 50000000\\r\\n\\r\\n' + bytes(50000000))\n"
        )
        command = below(rbinder, sys.executable, "-c", client, str(listener.getsockname()[1]))
        process = subprocess.Popen(command, env=clean_environment())
        connection, _ = listener.accept()
        with connection:
            head = connection.recv(200)
            assert b"\r\ntraceparent: 00-" in head
            (pid,) = children(tracer(process.pid))
            os.kill(pid, signal.SIGKILL)
            assert process.wait(30) == 137
