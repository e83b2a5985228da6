"""Compiles the agent and the collector's reader from `src`: `python -m rbinder.agent.build [MACHINE...]`.

The package's own build calls this as well. It uses the standard library alone.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rbinder.agent import java

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
MACHINES = ("x86_64", "aarch64")
LIBRARIES = {"agent": "build.list", "reader": "reader.list"}  # the files that list their sources

# No C library behind it, nothing exported but what says so; thread-local memory as a preloaded library may have it. A
# cancelled thread is unwound through the hook it waits in: that needs tables.
_FLAGS = (
    *("-std=gnu11", "-O3", "-fno-tree-slp-vectorize", "-g0", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-fno-stack-protector", "-fasynchronous-unwind-tables"),
    *("-shared", "-fPIC", "-fvisibility=hidden", "-ftls-model=initial-exec", "-nostdlib"),
    *("-fno-semantic-interposition", "-Wl,-Bsymbolic-functions"),
    *("-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,noexecstack", "-Wl,--hash-style=both", "-Wl,--build-id=none"),
)
# All of the agent is optimised at once: that saves a tenth of its instructions. A compiler that can't is asked without.
_LINK_TIME_FLAGS = (("-flto", "-flto-partition=one"), ("-flto",), ())
_MACHINE_FLAGS = {"x86_64": [], "aarch64": ["-mno-outline-atomics"]}


class BuildFailed(Exception):
    """A library can't be built here; the text says why."""


def build(name: str, machine: str, out: Path) -> Path:
    """Build a library of LIBRARIES for a machine. Raises BuildFailed."""
    compiler = find_compiler(machine)
    files, flags = _listed(SOURCES / LIBRARIES[name])
    out.parent.mkdir(parents=True, exist_ok=True)
    made = out.with_name(f".{out.name}.{os.getpid()}")
    command = [*compiler, *_FLAGS, *_MACHINE_FLAGS[machine], *flags, "-o", str(made), *files, "-lgcc"]
    with tempfile.TemporaryDirectory() as generated:
        if "jvm.c" in files:
            _write_java(Path(generated))
        for link_time in _LINK_TIME_FLAGS:
            done = subprocess.run([*command, *link_time, f"-I{generated}"], capture_output=True, text=True, cwd=SOURCES)
            if not done.returncode:
                made.replace(out)  # whoever has the former one loaded keeps it
                return out
    made.unlink(missing_ok=True)
    raise BuildFailed(f"{shlex.join(compiler)} could not compile the {name}:\n{done.stderr.strip()}")


def _write_java(directory: Path) -> None:
    try:
        java.write_header(directory)
    except java.CompilationFailed as error:
        raise BuildFailed(str(error)) from None


def find_compiler(machine: str) -> list[str]:
    """The command that compiles for a machine: CC, for another one CC_AARCH64 or the like. Raises BuildFailed."""
    native = machine == os.uname().machine
    chosen = shlex.split(os.environ.get("CC" if native else f"CC_{machine.upper()}", ""))
    names = ["gcc", "cc", "clang"] if native else [f"{machine}-linux-gnu-gcc"]
    for command in [chosen] if chosen else [[name] for name in names]:
        if shutil.which(command[0]):
            return command
    wanted = " or ".join(chosen[:1] or names)
    package = "" if native else f" (Debian: apt install gcc-{machine.replace('_', '-')}-linux-gnu)"
    raise BuildFailed(f"there is no compiler for {machine}: {wanted} was not found{package}")


def _listed(path: Path) -> tuple[list[str], list[str]]:
    """(files, flags): one a line."""
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise BuildFailed(f"{path} can't be read: {error.strerror}") from None
    words = [line for line in lines if line]
    return [word for word in words if not word.startswith("-")], [word for word in words if word.startswith("-")]


def main(machines: list[str]) -> int:
    """Build everything into the package itself."""
    failed = False
    for machine in machines or [os.uname().machine]:
        if machine not in MACHINES:
            print(f"the agent can't be built for {machine}: {' and '.join(MACHINES)} are supported", file=sys.stderr)
            return 1
        for name in LIBRARIES:
            try:
                print(build(name, machine, HERE / f"{name}-{machine}.so"))
            except BuildFailed as error:
                print(error, file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
