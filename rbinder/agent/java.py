"""Compiles what the agent loads into Java virtual machines, from `jvm`, for a C file to include.

Where there is no Java compiler the agent is built without it. It uses the standard library alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "jvm"
PACKAGE = Path("java", "util", "concurrent")
HEADER = "jvm_classes.h"  # as jvm.c includes it
ROLES = {"RbinderTasks": 1, "RbinderPatcher": 2, "RbinderQueues": 3}  # the classes that jvm.c calls
# Class files of Java 11, the oldest version that the adapter is for; no debugging information, since frames are hidden;
# texts joined in place, which needs nothing of the virtual machine.
_FLAGS = (
    *("-source", "11", "-target", "11", "-nowarn", "-Xlint:-options"),
    *("-g:none", "-proc:none", "-XDstringConcat=inline"),
)


class CompilationFailed(Exception):
    """The Java sources were not compiled; the text says why."""


def write_header(directory: Path) -> None:
    """Write HEADER into a directory, if there is a compiler. Raises CompilationFailed."""
    compiler = find_compiler()
    if compiler:
        (directory / HEADER).write_text(_header(_packed(compiler)))


def find_compiler() -> str | None:
    """The Java compiler's path: JAVAC, or that of JAVA_HOME, or on the search path."""
    home = os.environ.get("JAVA_HOME")
    names = [os.environ.get("JAVAC"), os.path.join(home, "bin", "javac") if home else None, "javac"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _packed(compiler: str) -> bytes:
    """All classes, each after its size (three bytes) and its role."""
    with tempfile.TemporaryDirectory() as directory:
        sources = [str(path) for path in sorted(SOURCES.rglob("*.java"))]
        command = [compiler, *_FLAGS, "--patch-module", f"java.base={SOURCES}", "-d", directory, *sources]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CompilationFailed(f"{compiler} could not compile {SOURCES}:\n{(done.stdout + done.stderr).strip()}")
        return b"".join(_parts(Path(directory) / PACKAGE))


def _parts(directory: Path) -> Iterator[bytes]:
    for path in sorted(directory.glob("*.class")):
        content = path.read_bytes()
        yield len(content).to_bytes(3, "little") + bytes([ROLES.get(path.stem, 0)]) + content


def _header(packed: bytes) -> str:
    lines = [",".join(map(str, packed[at : at + 32])) for at in range(0, len(packed), 32)]
    return "static const u8 jvm_classes[] = {\n" + ",\n".join(lines) + "};\n"
