"""Programs that confine, hide or change themselves keep working, at worst untraced, with the reason said once."""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import WITH_AGENT, WITH_PTRACE
from harness import Collector, Rbinder, exchange, free_port
from peers import not_found, peer
from processes import AS_NOBODY, NOBODY, UNFILTERED, UNSENT, below, run, same

Build = Callable[[str], Path]
FILTERS = pytest.mark.parametrize("options", [UNSENT, UNFILTERED], ids=["filter", "no-seccomp"])
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
NOT_FOUND = "HTTP/1.1 404 Not Found"


@pytest.fixture
def port() -> Iterator[int]:
    with peer(not_found) as number:
        yield number


@FILTERS
@pytest.mark.parametrize("mode", ["prctl", "seccomp"])
def test_a_filter_of_its_own(
    mode: str, options: tuple[str, ...], rbinder: Rbinder, build: Build, collector: Collector, port: int
) -> None:
    """It would be killed at once if any call of it were exchanged for another."""
    program = [str(build("confined.c")), mode, str(port)]
    done = same(rbinder, *program, options=options)
    assert (done.status, done.stdout) == (0, NOT_FOUND)
    run(below(rbinder, *program, options=options[len(UNSENT) :]), rbinder.environment())
    assert len(collector.spans(1)) == 1


@FILTERS
def test_every_descriptor_is_closed(
    options: tuple[str, ...], rbinder: Rbinder, build: Build, collector: Collector, port: int
) -> None:
    command = below(rbinder, str(build("confined.c")), "closed", str(port), options=options[len(UNSENT) :])
    assert run(command, rbinder.environment()).visible == (0, "", "")
    (span,) = collector.spans(1)
    assert span["attributes"]["http.response.status_code"] == 404


def test_io_uring_is_said_once(rbinder: Rbinder, build: Build) -> None:
    done = same(rbinder, str(build("confined.c")), "ring", "0")
    if done.status:
        pytest.skip(f"io_uring_setup fails on this kernel: {os.strerror(done.status)}")
    (remark,) = done.remarks
    assert "io_uring" in remark


@FILTERS
def test_not_dumpable(options: tuple[str, ...], rbinder: Rbinder, build: Build, port: int) -> None:
    same(rbinder, str(build("confined.c")), "undumpable", str(port), options=options)


@AS_ROOT
@FILTERS
def test_not_dumpable_and_nobody_may_look(options: tuple[str, ...], rbinder: Rbinder, build: Build, port: int) -> None:
    program = [str(build("confined.c")), "undumpable", str(port)]
    untouched = run([*AS_NOBODY, *program])
    done = run([*AS_NOBODY, *below(rbinder, *program, options=options)])
    assert done.visible == untouched.visible == (0, NOT_FOUND, "")
    assert ["can't be looked at" in remark for remark in done.remarks] == [True] * (rbinder.engine == "ptrace")


@AS_ROOT
@pytest.mark.parametrize("options", [(), ("--no-seccomp",)], ids=["filter", "no-seccomp"])
def test_a_server_that_gives_up_root(
    options: tuple[str, ...], rbinder: Rbinder, build: Build, collector: Collector
) -> None:
    port = free_port()
    program = rbinder.start(str(build("servers.c")), "drop", str(port), str(NOBODY), options=options, port=port)
    assert exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
    (span,) = collector.spans(1)
    assert span["kind"] == "SERVER"
    assert program.stop(143).remarks == []


ASK_FROM_A_CHROOT = """
import os, socket, sys
os.chroot(sys.argv[1])
os.chdir("/")
with socket.socket() as connection:
    connection.connect(("127.0.0.1", int(sys.argv[2])))
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    print(connection.recv(4096).partition(b"\\r")[0].decode())
"""


@AS_ROOT
@WITH_AGENT
def test_a_program_that_changes_its_root(rbinder: Rbinder, collector: Collector, tmp_path: Path, port: int) -> None:
    command = below(rbinder, sys.executable, "-c", ASK_FROM_A_CHROOT, str(tmp_path), str(port), options=())
    assert run(command, rbinder.environment()).visible == (0, f"{NOT_FOUND}\n", "")
    assert len(collector.spans(1)) == 1


@AS_ROOT
@WITH_PTRACE  # there is no agent to be loaded
def test_chroot(rbinder: Rbinder, build: Build, collector: Collector, tmp_path: Path, port: int) -> None:
    (tmp_path / "children").write_bytes(build("children.c").read_bytes())
    (tmp_path / "children").chmod(0o755)
    command = below(rbinder, "chroot", str(tmp_path), "/children", "ask", str(port), options=())
    assert run(command, rbinder.environment()).visible == (0, f"{NOT_FOUND}\n", "")
    (span,) = collector.spans(1)
    assert span["service"] == "children"


@pytest.fixture
def setuid_id(tmp_path: Path) -> str:
    """A copy of id(1) that runs as root whoever starts it."""
    program = tmp_path / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        pytest.skip("the tests' directory is mounted nosuid")
    return str(program)


@AS_ROOT
@pytest.mark.parametrize("through", [["sh", "-c", '"$@"; exit $?', "sh"], []], ids=["child", "command"])
def test_a_setuid_program(through: list[str], rbinder: Rbinder, setuid_id: str) -> None:
    """With a filter it has no privilege, without it is privileged and untraced; said once both times."""
    command = [*through, setuid_id]
    assert "euid=0(root)" in run([*AS_NOBODY, *command]).stdout
    filtered = run([*AS_NOBODY, *below(rbinder, *command)])
    assert filtered.status == 0
    assert f"uid={NOBODY}" in filtered.stdout
    assert ("euid=0" in filtered.stdout) is (rbinder.engine == "agent")
    assert [f"{setuid_id} is a setuid program" in remark for remark in filtered.remarks] == [True]
    unfiltered = run([*AS_NOBODY, *below(rbinder, *command, options=UNFILTERED)])
    assert unfiltered.status == 0
    assert "euid=0(root)" in unfiltered.stdout
    assert [f"{setuid_id} is a setuid program" in remark for remark in unfiltered.remarks] == [True]


# write(1, "32 bit\n", 7); exit(33)
CODE_32 = bytes.fromhex("b804000000 bb01000000 b954800408 ba07000000 cd80 b801000000 bb21000000 cd80")


def write_32_bit_program(path: Path) -> None:
    """A static ELF file for i386, loaded at 0x08048000: 52 bytes of header, 32 of program header, message, code."""
    message = b"32 bit\n\0"
    assert int.from_bytes(CODE_32[11:15], "little") == 0x08048000 + 52 + 32
    size = 52 + 32 + len(message) + len(CODE_32)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x08048000 + 52 + 32 + len(message), 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, 0x08048000, 0x08048000, size, size, 5, 0x1000)
    path.write_bytes(header + segment + message + CODE_32)
    path.chmod(0o755)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the 32-bit program is for x86")
@FILTERS
def test_a_32_bit_program(options: tuple[str, ...], rbinder: Rbinder, tmp_path: Path) -> None:
    program = tmp_path / "program"
    write_32_bit_program(program)
    if run(["sh", "-c", f"{program}"]).status != 33:
        pytest.skip("the kernel runs no 32-bit programs (CONFIG_IA32_EMULATION)")
    for command in ([str(program)], ["sh", "-c", f"{program}; {program}; exit $?"]):
        done = same(rbinder, *command, options=options)
        assert done.status == 33
        assert done.stdout.startswith("32 bit\n")
        (remark,) = done.remarks
        assert "32-bit" in remark or "another machine" in remark
