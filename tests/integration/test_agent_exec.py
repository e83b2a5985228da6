"""What goes with a program into what it executes: the agent, no trace of it, and all else as untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from carrying import Carrier, run
from harness import TARGETS, clean_environment
from native import build

AGENT = (
    "environment.c",
    "images.c",
    "exec_hooks.c",
    "spawn_hooks.c",
    "readable.c",
    "memory.c",
    "loader.c",
    "hooks.c",
    "clock.c",
)
LIBRARY = ("-O2", "-fPIC", "-ffreestanding", "-fno-stack-protector", "-fvisibility=hidden", "-nostdlib", "-shared")
PROGRAM = ("-O1", "-Wno-unused-result")

REPLACING = ("execl", "execlp", "execle", "execv", "execvp", "execve", "execvpe", "fexecve", "execveat")
UNUSUAL = ("nothing", "cleared", "thread", "signal")
STARTING = ("fork", "vfork", "vfork_search", "posix_spawn", "posix_spawnp", "system", "popen", "changes")
GIVEN = {
    "own": {},
    "preload": {"LD_PRELOAD": "EMPTY", "LAST": "1"},
    "several": {"FIRST": "1", "LD_PRELOAD": "EMPTY EMPTY", "LIBRARY": "EMPTY:EMPTY", "MANY": "90"},
    "many": {"LD_PRELOAD": "", "MANY": "5000"},
}


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="carrying-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def built(open_directory: Path) -> dict[str, Path]:
    """The agent, the program with each C library and statically linked, and a library that holds nothing."""
    empty = open_directory / "empty.c"
    empty.write_text("int nothing;\n")
    ways = [str(TARGETS / "exec_ways.c")]
    return {
        "agent": build([*AGENT, "exec_agent.c"], open_directory / "agent.so", LIBRARY),
        "empty": build([str(empty)], open_directory / "empty.so", LIBRARY),
        "glibc": build(ways, open_directory / "ways-glibc", PROGRAM),
        "musl": build(ways, open_directory / "ways-musl", PROGRAM, "musl-gcc"),
        "static": build(ways, open_directory / "ways-static", (*PROGRAM, "-static")),
    }


@pytest.fixture
def carrier(built: dict[str, Path], tmp_path: Path) -> Carrier:
    return Carrier(built["agent"], tmp_path / "log")


def environment(built: dict[str, Path], more: dict[str, str] | None = None) -> dict[str, str]:
    filled = {name: value.replace("EMPTY", str(built["empty"])) for name, value in (more or {}).items()}
    return clean_environment() | filled


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("way", [*REPLACING, *UNUSUAL, *STARTING])
@pytest.mark.parametrize("library", ["glibc", "musl"])
def test_every_way(library: str, way: str, given: str, built: dict[str, Path], carrier: Carrier) -> None:
    other = "musl" if library == "glibc" else "glibc"
    status = "0" if given == "many" else "7"
    for target in (library, other):
        command = [str(built[library]), way, str(built[target]), "show", status]
        went = carrier.same(command, environment(built, GIVEN[given]))
        assert went.started[0] == str(built[library])
        assert str(built[target]) in went.started[1:]
        assert went.notes == []


@pytest.mark.parametrize("way", [*REPLACING, *STARTING[:-1]])
@pytest.mark.parametrize("library", ["glibc", "musl"])
def test_failures(library: str, way: str, built: dict[str, Path], carrier: Carrier, tmp_path: Path) -> None:
    """ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP and E2BIG are what they were; so is a script without a first line."""
    plain, closed = tmp_path / "plain", tmp_path / "closed"
    plain.write_text("echo a script of no interpreter $1 $2\n")
    plain.chmod(0o755)
    closed.write_text("echo never\n")
    closed.chmod(0o644)
    (tmp_path / "loop").write_text(f"#!{tmp_path}/loop\n")
    (tmp_path / "loop").chmod(0o755)
    (tmp_path / "empty").touch(0o755)
    os.mkfifo(tmp_path / "pipe", 0o755)
    names = ["plain", "closed", "loop", "empty", "pipe", "none", "plain/below", ""]
    for target in [str(tmp_path / name) for name in names] + ["no-such-program", ""]:
        carrier.same([str(built[library]), way, target, "one", "2"], environment(built))


@pytest.mark.parametrize("way", ["execve", "vfork", "posix_spawn"])
def test_no_room_for_more(way: str, built: dict[str, Path], carrier: Carrier) -> None:
    """Where the environment just fits, and ours doesn't, the program is started without; one more, and it fails."""
    program = str(built["glibc"])
    # A quarter of the stack is what arguments and environment may take, but 128 KiB at least.
    command = ["sh", "-c", 'ulimit -s 600; exec "$@"', "sh", program, way, program, "show", "0"]
    fits, fails = 100, 20000
    while fails - fits > 1:
        middle = (fits + fails) // 2
        _, shown, _ = run(command, environment(built, {"MANY": str(middle)}))
        fits, fails = (middle, fails) if "argument show" in shown else (fits, middle)
    counts = (fits - 60, fits, fails)
    starts = [len(carrier.same(command, environment(built, {"MANY": str(count)})).started) for count in counts]
    assert starts == [3, 2, 2]


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_scripts(built: dict[str, Path], carrier: Carrier, tmp_path: Path) -> None:
    """Scripts with and without a first line, of a script, of env, and a pipeline in a shell."""
    program = built["glibc"]
    plain = script(
        tmp_path / "plain", f"{program} show 3 | cat; {program} execv {program} show 4; exec {program} show 5\n"
    )
    shell = script(tmp_path / "shell", f"#! /bin/sh -e\n. {plain}\n")
    nested = script(tmp_path / "nested", f"#!{shell} x\n")
    found = script(tmp_path / "found", f"#!/usr/bin/env bash\nenv; {shell}\n")
    for path, fewest in ((plain, 5), (shell, 5), (nested, 5), (found, 7)):
        went = carrier.same(["sh", "-c", str(path)], environment(built, {"LD_PRELOAD": str(built["empty"])}))
        assert len(went.started) >= fewest
        assert went.notes == []


@pytest.mark.parametrize("how", ["env", "set", "export -p", "cat /proc/self/environ", "env -i env", "echo $LD_PRELOAD"])
def test_nothing_to_be_seen(how: str, built: dict[str, Path], carrier: Carrier) -> None:
    for shell in ("sh", "bash"):
        went = carrier.start([shell, "-c", how], environment(built))
        assert "PRELOAD" not in went.stdout
        assert "RBINDER" not in went.stdout
        assert went.started


RUNTIMES = {
    "python": ([sys.executable, str(TARGETS / "exec_runs.py")], 10),
    "php": (["php", str(TARGETS / "exec_runs.php")], 5),
    "ruby": (["ruby", str(TARGETS / "exec_runs.rb")], 6),
    "node": (["node", str(TARGETS / "exec_runs.js")], 4),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_runtimes(runtime: str, built: dict[str, Path], carrier: Carrier) -> None:
    command, count = RUNTIMES[runtime]
    program = str(built["glibc"])
    went = carrier.same([*command, f"{program} show 0"], environment(built))
    assert went.started.count(program) == count


def test_java(built: dict[str, Path], carrier: Carrier, tmp_path: Path) -> None:
    subprocess.run(["javac", "-d", str(tmp_path), str(TARGETS / "ExecRuns.java")], check=True, timeout=120)
    program = str(built["glibc"])
    for mechanism in ("POSIX_SPAWN", "VFORK", "FORK"):
        option = f"-Djdk.lang.Process.launchMechanism={mechanism}"
        went = carrier.same(["java", option, "-cp", str(tmp_path), "ExecRuns", f"{program} show 0"], environment(built))
        assert went.started.count(program) == 3


def test_a_thousand_short_processes(built: dict[str, Path], carrier: Carrier) -> None:
    went = carrier.same(["sh", "-c", "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); /bin/true; done"], environment(built))
    assert went.started.count("/usr/bin/true") == 1000


def test_static_program(built: dict[str, Path], carrier: Carrier) -> None:
    """It is said once that it isn't traced; what it starts is."""
    static, program = str(built["static"]), str(built["glibc"])
    loop = f"for i in 1 2; do {static} execv {program} show 7; done"
    went = carrier.same(["sh", "-c", loop], environment(built, {"LD_PRELOAD": str(built["empty"])}))
    assert went.started.count(program) == 2
    assert went.notes == [f"{static} is statically linked: it runs untraced (engine agent; -e ptrace traces it)"]


def test_the_loader_as_a_program(built: dict[str, Path], carrier: Carrier) -> None:
    """It has no interpreter, as static programs, and loads what is preloaded."""
    program = str(built["musl"])
    loader = next(Path("/lib").glob("ld-musl-*.so.1"))
    went = carrier.start([str(built["glibc"]), "execv", str(loader), program, "show", "7"], environment(built))
    assert went.status == 7
    assert len(went.started) == 2
    assert went.notes == []


def test_sanitized_program(built: dict[str, Path], carrier: Carrier, open_directory: Path) -> None:
    """AddressSanitizer's runtime wants to be first; linked statically, it doesn't care."""
    source = [str(TARGETS / "exec_ways.c")]
    first = str(build(source, open_directory / "ways-asan", (*PROGRAM, "-fsanitize=address")))
    within = str(
        build(source, open_directory / "ways-asan-within", (*PROGRAM, "-fsanitize=address", "-static-libasan"))
    )
    carried = carrier.same([str(built["glibc"]), "execv", within, "show", "7"], environment(built))
    assert carried.started == [str(built["glibc"]), within]
    for way in ("execv", "vfork_search", "posix_spawnp"):
        went = carrier.same([str(built["glibc"]), way, first, "show", "7"], environment(built))
        assert went.started == [str(built["glibc"])]
        assert len(went.notes) == 1
        assert "a sanitizer" in went.notes[0]


def test_program_for_another_machine(built: dict[str, Path], carrier: Carrier, tmp_path: Path) -> None:
    """A 32-bit loader tells on stderr of a library that it can't load."""
    if not Path("/lib/ld-linux.so.2").exists():
        pytest.skip("needs the loader of 32-bit programs (Debian: libc6-i386)")
    source = tmp_path / "ends.c"
    source.write_text('void _start(void) { __asm__ volatile("int $0x80" : : "a"(1), "b"(9)); }\n')
    program = str(
        build([str(source)], tmp_path / "ends", ("-m32", "-nostdlib", "-Wl,-dynamic-linker,/lib/ld-linux.so.2"))
    )
    went = carrier.same([str(built["glibc"]), "posix_spawnp", program, "show", "7"], environment(built))
    assert "posix_spawnp: 2304" in went.stdout
    assert went.stderr == ""
    assert went.notes == [f"{program} is built for another machine: it runs untraced"]


def test_go_program(built: dict[str, Path], carrier: Carrier, tmp_path: Path) -> None:
    """Static or not, it runs untraced, and hands the agent on."""
    if shutil.which("go") is None:
        pytest.skip("needs go")
    program = str(built["glibc"])
    shutil.copy(TARGETS / "exec_go.go", tmp_path / "with.go")
    without = (TARGETS / "exec_go.go").read_text().replace('import "C"\n', "")
    (tmp_path / "without.go").write_text(without)
    for name, cgo in (("with", "1"), ("without", "0")):
        built_go = os.environ | {"CGO_ENABLED": cgo}
        command = ["go", "build", "-o", str(tmp_path / name), str(tmp_path / f"{name}.go")]
        subprocess.run(command, check=True, env=built_go, timeout=300)
        path = str(tmp_path / name)
        went = carrier.same([program, "execv", path, program, "show", "0"], environment(built))
        assert went.started == [program, program]
        assert len(went.notes) == 1
        assert "it runs untraced" in went.notes[0]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users: needs root")
# Another user, who may still write to the log: it is reached through another user's process.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+sys_ptrace,+dac_override")
AS_NOBODY = (*NOBODY, "--ambient-caps=+sys_ptrace,+dac_override", "--")


@needs_root
@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o4711])
def test_setuid_program(bits: int, built: dict[str, Path], carrier: Carrier, open_directory: Path) -> None:
    """One that gains privilege is left alone, and so is what it starts; where it gains none, it is like any other."""
    program, own = str(built["glibc"]), {"LD_PRELOAD": str(built["empty"])}
    gaining = open_directory / f"gaining-{bits:o}"
    shutil.copy(built["musl"], gaining)
    gaining.chmod(bits)
    went = carrier.same([*AS_NOBODY, program, "execv", str(gaining), "show", "7"], environment(built, own))
    assert went.status == 7
    assert went.started == ["/usr/bin/setpriv", program]
    assert went.notes == [f"{gaining} is a setuid program: it runs untraced"]
    as_root = carrier.same([program, "execv", str(gaining), "show", "7"], environment(built, own))
    assert as_root.started == [program, str(gaining)]
    kept = carrier.same(
        [*AS_NOBODY[:-1], "--no-new-privs", "--", program, "execv", str(gaining), "show", "7"], environment(built)
    )
    assert kept.started == ["/usr/bin/setpriv", program, str(gaining)]


@needs_root
def test_program_with_capabilities(built: dict[str, Path], carrier: Carrier, open_directory: Path) -> None:
    program, gaining = str(built["glibc"]), open_directory / "capable"
    shutil.copy(program, gaining)
    # linux/capability.h, struct vfs_cap_data: revision 2, effective; CAP_NET_RAW permitted
    value = (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(4, "little") + bytes(12)
    try:
        os.setxattr(gaining, "security.capability", value)
    except OSError as error:
        pytest.skip(f"this file system keeps no capabilities: {error.strerror}")
    went = carrier.same([*AS_NOBODY, program, "execv", str(gaining), "show", "7"], environment(built))
    assert went.started == ["/usr/bin/setpriv", program]
    assert went.stderr == ""


@needs_root
def test_where_the_library_is_out_of_reach(built: dict[str, Path], tmp_path: Path) -> None:
    """For another user, and in another root: nothing is carried, and the loader has nothing to complain about."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    library = Path(shutil.copy(built["agent"], closed))
    carrier = Carrier(library, tmp_path / "log")
    went = carrier.same(["setpriv", "--reuid=65534", "--clear-groups", "--", "/bin/true"], environment(built))
    assert went.started == ["/usr/bin/setpriv"]
    root = tmp_path / "root"
    for directory in ("lib", "lib64", "usr", "bin"):
        (root / directory).mkdir(parents=True)
    for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"):
        if Path(path).exists():
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path[1:])
    shutil.copy("/bin/true", root / "bin")
    inside = carrier.same(["chroot", str(root), "/bin/true"], environment(built))
    assert inside.started == ["/usr/sbin/chroot"]
    assert inside.stderr == ""


def test_on_aarch64(built: dict[str, Path], tmp_path: Path) -> None:
    """Emulated: the loader there has the same to say, and what is carried is taken out again."""
    root = Path("/usr/aarch64-linux-gnu")
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator or not root.exists():
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    flags = (*LIBRARY, "-mno-outline-atomics")
    library = build([*AGENT, "exec_agent.c"], tmp_path / "agent.so", flags, compiler)
    program = build([str(TARGETS / "exec_ways.c")], tmp_path / "ways", PROGRAM, compiler)
    strings = [f"LD_PRELOAD={library}", f"RBINDER_AGENT=1.2.{'0' * 32}.{library}"]
    carried = [word for string in strings for word in ("-E", string)]
    status, stdout, stderr = run([emulator, "-L", str(root), *carried, str(program), "show", "7"], {"ONE": "1"})
    shown = ["argument show", "argument 7", "has ONE=1", "began with ONE=1"]
    assert (status, stdout.splitlines()[1:], stderr) == (7, shown, "")


def test_no_descriptor_to_spare(built: dict[str, Path], carrier: Carrier) -> None:
    """The only one is taken, and closed by the exec itself."""
    program = str(built["glibc"])
    command = ["sh", "-c", f"ulimit -n 4; exec {program} fexecve {program} show 7"]
    assert carrier.same(command, environment(built)).started.count(program) == 2


def test_the_programs_own_agent_wins(built: dict[str, Path], carrier: Carrier) -> None:
    """What a program puts there itself goes on as it is: another rbinder's keeper."""
    program = str(built["glibc"])
    other = f"RBINDER_AGENT=1.2.{'0' * 32}.{built['empty']}"
    went = carrier.same(["env", other, program, "show", "7"], environment(built))
    assert f"has {other}" in went.stdout
