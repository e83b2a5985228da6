"""The agent as a guest: what it is made of; programs that cancel, jump, fork, close and confine don't notice it."""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backs import ANSWER, Back, back_end
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, Collector, Rbinder
from peers import peer
from processes import Outcome, below, refused, run

from rbinder.agent import build as builder
from rbinder.agent import contract
from rbinder.agent.carried import carrying

pytestmark = [WITH_AGENT, pytest.mark.usefixtures("engine")]
Build = Callable[..., Path]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing to another user needs root")
LIBRARIES = pytest.mark.parametrize("compiler", ["gcc", "musl-gcc"])
NO_MOUNTS = refused("unshare", "--mount")
NO_PIDS = refused("unshare", "--pid", "--fork")
EMULATED_ROOT = Path("/usr/aarch64-linux-gnu")
EMULATOR = ("qemu-aarch64", "-L", str(EMULATED_ROOT))

# What a program may call to receive, to send, and to make or end what it does that with.
PROMISED = """
read readv recv recvfrom recvmsg recvmmsg __read_chk __recv_chk __recvfrom_chk
write writev send sendto sendmsg sendmmsg sendfile sendfile64 splice
accept accept4 socket connect close close_range closefrom dup dup2 dup3 fcntl fcntl64 shutdown
fork vfork clone execve execv execvp execvpe execl execlp execle fexecve execveat posix_spawn posix_spawnp
"""


ADDON = ("napi_register_module_v1",)  # by which Node begins with a library that it opens


# -- the library itself


def hooks() -> list[str]:
    text = (builder.SOURCES / "hooks.def").read_text()
    return re.findall(r"^HOOK\([^,]+, (\w+),", text, re.MULTILINE)


def tool(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE).stdout


@pytest.fixture(scope="session")
def agent_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The agent as it is shipped, for a machine."""
    directory = tmp_path_factory.mktemp("agent")

    @functools.cache
    def build_once(machine: str) -> Path:
        try:
            return builder.build("agent", machine, directory / f"{machine}.so")
        except builder.BuildFailed as error:
            pytest.skip(str(error))

    return build_once


@pytest.fixture(params=builder.MACHINES)
def agent_library(request: pytest.FixtureRequest, agent_for: Callable[[str], Path]) -> Path:
    return agent_for(request.param)


def test_the_hooks_are_all_that_was_promised() -> None:
    assert len(set(hooks())) == len(hooks())
    assert set(PROMISED.split()) <= set(hooks())


def test_it_needs_nothing_and_exports_the_hooks_alone(agent_library: Path) -> None:
    assert "NEEDED" not in tool("readelf", "-dW", str(agent_library))
    symbols = [line.split() for line in tool("nm", "-D", str(agent_library)).splitlines()]
    assert {words[-1] for words in symbols if len(words) == 3} == {*hooks(), *ADDON}
    assert {words[-2] for words in symbols if len(words) == 3} == {"T"}
    assert {words[0] for words in symbols if len(words) == 2} == {"w"}


def test_its_memory_is_never_writable_and_executable(agent_library: Path) -> None:
    lines = tool("readelf", "-lW", str(agent_library)).splitlines()
    flags = {line.split()[0]: "".join(line.split()[6:-1]) for line in lines if re.match(r" +(LOAD|GNU_STACK) ", line)}
    assert flags["GNU_STACK"] == "RW"
    loaded = ["".join(line.split()[6:-1]) for line in lines if re.match(r" +LOAD ", line)]
    assert loaded
    assert [flag for flag in loaded if "W" in flag and "E" in flag] == []
    assert any(re.match(r" +GNU_RELRO ", line) for line in lines)
    assert "TEXTREL" not in tool("readelf", "-dW", str(agent_library))


def test_its_thread_local_memory_is_there_from_the_start(agent_library: Path) -> None:
    """Initial-exec only: any other kind asks the loader for memory at its first use, in a signal handler perhaps."""
    kinds = set(re.findall(r"R_\w*(?:TLS|TPOFF|TPREL|DTPMOD)\w*", tool("readelf", "-rW", str(agent_library))))
    assert kinds in ({"R_X86_64_TPOFF64"}, {"R_AARCH64_TLS_TPREL64"})


# -- programs


@pytest.fixture
def back() -> Iterator[Back]:
    with back_end() as running:
        yield running


@pytest.fixture
def inside(build: Build, compiler: str) -> str:
    return str(build("inside.c", compiler))


@pytest.fixture
def interrupted(build: Build, compiler: str) -> str:
    return str(build("interrupted.c", compiler))


def untouched(*command: str) -> Outcome:
    done = run(command)
    assert done.status == 0, done
    return done


def carried(rbinder: Rbinder, back: Back, *command: str, prefix: tuple[str, ...] = ()) -> int:
    """Run it without and with rbinder: both must be the same. How many of its requests carried a context."""
    before = untouched(*prefix, *command)
    assert back.traced() == back.traced("/unread") == back.traced("/unanswered") == 0
    asked = len(back.heads())
    traced = run(below(rbinder, *prefix, *command))
    assert (traced.visible, traced.remarks) == (before.visible, [])
    assert len(back.heads()) == 2 * asked
    return back.traced() - asked


def every_request(rbinder: Rbinder, back: Back, *command: str, prefix: tuple[str, ...] = ()) -> None:
    """The same, and all of its requests carried one."""
    assert carried(rbinder, back, *command, prefix=prefix) == 0


@LIBRARIES
def test_cancelled_threads(rbinder: Rbinder, interrupted: str, back: Back) -> None:
    every_request(rbinder, back, interrupted, "cancel", str(back.port))
    assert back.traced("/unanswered") == 2


@LIBRARIES
def test_threads_cancelled_wherever_they_are(rbinder: Rbinder, interrupted: str, back: Back) -> None:
    assert run(below(rbinder, interrupted, "at_once", str(back.port))).visible == (0, "40 cancelled\n", "")
    assert back.traced()


@LIBRARIES
@pytest.mark.parametrize("way", ["read", "send"])
def test_jumps_out_of_calls_that_wait(way: str, rbinder: Rbinder, interrupted: str, back: Back) -> None:
    """Two hundred calls that never return, more than there is room for at a time."""
    every_request(rbinder, back, interrupted, way, str(back.port))
    assert back.traced("/unanswered" if way == "read" else "/unread") == 200


@LIBRARIES
def test_jumps_from_anywhere(rbinder: Rbinder, interrupted: str, back: Back) -> None:
    """Out of the agent as well, which at worst leaves the program alone, and says so."""
    done = run(below(rbinder, interrupted, "timer", str(back.port)))
    assert done.visible == (0, "300 jumps\n", "")
    assert [remark for remark in done.remarks if "too often" not in remark and " lost " not in remark] == []
    assert back.traced()


@LIBRARIES
def test_requests_in_signal_handlers(rbinder: Rbinder, interrupted: str, back: Back) -> None:
    done = run(below(rbinder, interrupted, "handler", str(back.port)))
    assert (done.visible, done.remarks) == ((0, "300 by the handler\n", ""), [])
    assert back.traced() > 300


@LIBRARIES
def test_children_with_connections_open(rbinder: Rbinder, inside: str, back: Back) -> None:
    """But for children that run in their parent's memory, which are not followed."""
    asked = carried(rbinder, back, inside, "forks", str(back.port)) + len(back.heads()) // 2
    assert asked == len(back.heads()) // 2 - 2


@LIBRARIES
def test_forks_while_threads_ask(rbinder: Rbinder, inside: str, back: Back) -> None:
    """The child of a thread that was anywhere at that time is traced as any other."""
    assert run(below(rbinder, inside, "crowd", str(back.port))).visible == (0, "", "")
    assert back.traced() == len(back.heads()) == 8 * 500 + 60 * 2 + 1


@LIBRARIES
def test_a_handler_of_fork_asks(rbinder: Rbinder, inside: str, back: Back, collector: Collector) -> None:
    with back_end() as other:
        command = below(rbinder, inside, "atfork", str(back.port), str(other.port), options=())
        assert run(command, rbinder.environment()).visible == (0, "", "")
        assert (back.traced(), other.traced()) == (2, 1)
        ports = [span["attributes"]["network.peer.port"] for span in collector.spans(3)]
        assert sorted(ports) == sorted([back.port, back.port, other.port])


@LIBRARIES
@pytest.mark.parametrize("how", ["loop", "range", "from"])
def test_every_descriptor_is_closed(how: str, rbinder: Rbinder, inside: str, back: Back) -> None:
    every_request(rbinder, back, inside, "close", str(back.port), how)


@LIBRARIES
def test_eight_descriptors(rbinder: Rbinder, inside: str, back: Back) -> None:
    limited = ("sh", "-c", 'ulimit -n 8; exec "$@"', "sh")
    every_request(rbinder, back, inside, "few", str(back.port), prefix=limited)


@LIBRARIES
def test_little_address_space(rbinder: Rbinder, inside: str, back: Back) -> None:
    """Not enough for the agent's tables: the program runs, untraced, and that is said."""
    command = ["sh", "-c", 'ulimit -v 20000; exec "$@"', "sh", inside, "few", str(back.port)]
    done = run(below(rbinder, *command))
    assert done.visible == untouched(*command).visible
    assert back.traced() == 0
    (remark,) = done.remarks
    assert "RLIMIT_AS" in remark


@LIBRARIES
def test_descriptors_beyond_the_table(rbinder: Rbinder, inside: str, back: Back) -> None:
    """They are not followed; what comes back below is."""
    if run([inside, "high", str(back.port)]).status == 77:
        pytest.skip("no process may have 65,636 descriptors here (RLIMIT_NOFILE)")
    done = run(below(rbinder, inside, "high", str(back.port)))
    assert (done.visible, done.remarks) == ((0, "", ""), [])


STRANGE = str(0x5EED)
AS_THEY_LIKE = ("posix_spawnp", "execve", "read(-1", "write(ends[1], nowhere")


@LIBRARIES
def test_errno_stays(rbinder: Rbinder, inside: str, back: Back) -> None:
    every_request(rbinder, back, inside, "errors", str(back.port))
    lines = run(below(rbinder, inside, "errors", str(back.port))).stdout.splitlines()
    told = {line for line in lines if not line.startswith(AS_THEY_LIKE)}
    assert len(told) >= 30
    assert [line for line in told if not line.endswith(f" done {STRANGE}")] == []


@LIBRARIES
def test_streams_of_stdio(rbinder: Rbinder, inside: str, back: Back) -> None:
    """Their calls go past every library; nothing is made of what is left to be seen."""
    carried(rbinder, back, inside, "stream", str(back.port))


@LIBRARIES
def test_a_descriptor_closed_behind_our_back(rbinder: Rbinder, inside: str, back: Back, tmp_path: Path) -> None:
    every_request(rbinder, back, inside, "stale", str(back.port), str(tmp_path / "file"))
    assert b"traceparent" not in (tmp_path / "file").read_bytes()


@AS_ROOT
@LIBRARIES
def test_another_root_and_another_user(rbinder: Rbinder, inside: str, back: Back, tmp_path: Path) -> None:
    every_request(rbinder, back, inside, "drop", str(back.port), str(tmp_path))


@pytest.mark.skipif(bool(NO_MOUNTS), reason=f"no file system can be mounted here: {NO_MOUNTS}")
@LIBRARIES
def test_nothing_can_be_written(rbinder: Rbinder, inside: str, back: Back) -> None:
    """The root is read-only, and there is no /dev/shm."""
    script = """
        umount -l /dev/shm 2>/dev/null; mount --make-rprivate / && mount -o remount,bind,ro / || exit 99
        touch /tmp/$$ 2>/dev/null && exit 98
        exec "$@"
    """
    if run(["unshare", "--mount", "sh", "-c", script, "sh", "true"]).status:
        pytest.skip("the root can't be made read-only here")
    command = below(rbinder, inside, "ask", str(back.port))
    done = run(["unshare", "--mount", "sh", "-c", script, "sh", *command])
    assert (done.visible, done.remarks) == ((0, "", ""), [])
    assert back.traced() == len(back.heads()) == 1


class InTurn:
    """Answers /begun when /first was asked, and /first when /second was answered."""

    def __init__(self) -> None:
        self._asked, self._answered = threading.Event(), threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        path = connection.recv(4096).split()[1]
        if path == b"/first":
            self._asked.set()
            self._answered.wait(DEADLINE)
        if path == b"/begun":
            self._asked.wait(DEADLINE)
        connection.sendall(ANSWER)
        if path == b"/second":
            connection.recv(1)
            self._answered.set()


@pytest.mark.skipif(bool(NO_PIDS), reason=f"no PID namespace can be made here: {NO_PIDS}")
def test_two_processes_with_the_same_number(rbinder: Rbinder, collector: Collector) -> None:
    """Each the first of a PID namespace of its own: neither is taken for the other."""
    alone = "unshare --pid --fork curl -s -o /dev/null"
    script = f"{alone} $0/first & curl -s -o /dev/null $0/begun; {alone} $0/second; wait"
    with peer(InTurn()) as port:
        command = below(rbinder, "sh", "-c", script, f"http://127.0.0.1:{port}", options=())
        assert run(command, rbinder.environment()).visible == (0, "", "")
        spans = collector.spans(3)
        assert [span["attributes"].get("http.response.status_code") for span in spans] == [200] * 3
        assert [span["attributes"].get("network.peer.port") for span in spans] == [port] * 3


@pytest.fixture
def counting(tmp_path: Path, compiler: str) -> str:
    """tests/targets/counting.c, a library of the user's own."""
    out = tmp_path / "counting.so"
    flags = ["-shared", "-fPIC", "-O1", "-o", str(out), str(TARGETS / "counting.c")]
    subprocess.run([compiler, *flags], check=True, timeout=DEADLINE)
    return str(out)


@LIBRARIES
def test_a_library_of_the_users_own(rbinder: Rbinder, inside: str, counting: str, back: Back) -> None:
    """It sees each call once, and what is started next has the environment in its order."""
    own = ["ONE=1", f"LD_PRELOAD={counting}", "TWO=2"]
    command = ["env", "-i", *own, inside, "writes", str(back.port)]
    alone, with_us = run(command), run(below(rbinder, *command))
    assert with_us.visible == alone.visible
    assert with_us.stdout.splitlines() == ["5 writes, 5 reads", *own]
    assert (len(back.heads()), back.traced()) == (10, 5)


# -- without rbinder: the test is the keeper


class Kept:
    """Runs programs with an agent whose shared memory is ours; `emulator` is what runs them."""

    def __init__(self, library: Path, *emulator: str) -> None:
        self._library, self._emulator = library, emulator
        self._token = secrets.token_bytes(16)
        settings = contract.Settings(self._token, contract.W3C, 1 << 64, True)
        self._memory = os.memfd_create("shared")
        os.ftruncate(self._memory, settings.size)
        os.pwrite(self._memory, contract.initial(settings), 0)

    def run(self, *command: str) -> Outcome:
        extra = carrying({}, str(self._library), os.getpid(), self._memory, self._token)
        strings = [os.fsdecode(name + b"=" + value) for name, value in extra.items()]
        if self._emulator:  # it puts them into the program's environment alone
            return run([*self._emulator, *(word for string in strings for word in ("-E", string)), *command])
        return run(["env", *strings, *command])

    @property
    def recorded(self) -> int:
        """Bytes in the ring."""
        return int.from_bytes(os.pread(self._memory, 8, contract.HEAD), "little")

    def close(self) -> None:
        os.close(self._memory)


@LIBRARIES
def test_descriptors_beyond_a_small_table(inside: str, back: Back, tmp_path: Path) -> None:
    """The same agent with room for 64 of them."""
    sources = tmp_path / "src"
    shutil.copytree(builder.SOURCES, sources)
    state = sources / "state.h"
    defined = re.sub(r"#define DESCRIPTORS \d+u", "#define DESCRIPTORS 64u", state.read_text())
    assert "DESCRIPTORS 64u" in defined
    state.write_text(defined)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "SOURCES", sources)
        library = builder.build("agent", os.uname().machine, tmp_path / "small.so")
    untouched(inside, "high", str(back.port), "64")
    asked, kept = len(back.heads()), Kept(library)
    assert kept.run(inside, "high", str(back.port), "64").visible == (0, "", "")
    kept.close()
    assert len(back.heads()) == 2 * asked
    assert 0 < back.traced() < asked


@pytest.fixture
def emulated(agent_for: Callable[[str], Path]) -> Iterator[Kept]:
    if not shutil.which("qemu-aarch64") or not EMULATED_ROOT.exists():
        pytest.skip("needs qemu-aarch64 and the libraries of aarch64")
    kept = Kept(agent_for("aarch64"), *EMULATOR)
    yield kept
    kept.close()


EMULATED_MODES = {
    "inside.c": ["ask", "few", "errors", "stream", "stale FILE", "close range", "close loop"],
    "interrupted.c": ["cancel", "read", "send", "timer", "handler"],
}


@pytest.mark.parametrize(("source", "mode"), [(name, mode) for name, modes in EMULATED_MODES.items() for mode in modes])
def test_on_aarch64(source: str, mode: str, emulated: Kept, build: Build, back: Back, tmp_path: Path) -> None:
    program = str(build(source, "aarch64-linux-gnu-gcc"))
    name, *rest = mode.replace("FILE", str(tmp_path / "file")).split()
    command = [program, name, str(back.port), *rest]
    alone, asked = untouched(*EMULATOR, *command), len(back.heads())
    done = emulated.run(*command)
    assert done.visible == alone.visible
    if name not in ("timer", "handler"):
        assert len(back.heads()) == 2 * asked
    if name not in ("timer", "handler", "stream"):
        assert back.traced() == asked
    assert back.traced()
    assert emulated.recorded
