"""Which engine suits an executable, and why: what the agent can't be loaded into is the ptrace engine's."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from rbinder.privilege import gains_privilege, is_privileged

_SCRIPTS = 5  # images that one execution may lead through: linux/binfmts.h, BINPRM_MAX_RECURSION, and the last
_LINE = 256  # bytes of an interpreter line that count: linux/binfmts.h, BINPRM_BUF_SIZE
_SHELL = "/bin/sh"  # of a file that is neither an ELF file nor names its interpreter (execvp(3))

# elf(5)
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<QQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_MACHINES = {"x86_64": 62, "aarch64": 183}
_READ = 1 << 20  # bytes of any table, at most
_NAME = 256  # bytes of a library's name

_SANITIZERS = re.compile(rb"^lib(asan|tsan|lsan|hwasan|msan)\b")  # they refuse to run with anything preloaded
_GO_NOTE = b"Go\0\0"  # the name in the note that Go's linker writes (.note.go.buildid)


@dataclass(frozen=True, slots=True)
class Image:
    """What an execution leads to. `reason`: why the agent can't see it, in words that follow `file`; "" where it can.

    `harmless`: though the agent is not loaded there, it may stand in the environment, for what the program starts.
    `traceable`: the engine ptrace can do it.
    """

    file: str
    reason: str = ""
    harmless: bool = False
    traceable: bool = True

    @property
    def suits(self) -> bool:
        """Whether the agent works in it."""
        return not self.reason

    @property
    def untraced(self) -> str:
        """What is said where the program runs without the agent all the same."""
        advice = "; -e ptrace traces it" if self.traceable else ""
        return f"{self.sentence}: it runs untraced (engine agent{advice})" if self.reason else ""

    @property
    def sentence(self) -> str:
        """The reason in words, or that there is none."""
        return f"{self.file} {self.reason or 'is dynamically linked'}"


class _Unreadable(Exception):
    """The file is no ELF file that makes sense."""


def inspect(path: str) -> Image:
    """Look at what executing the file `path` runs, through interpreter lines."""
    for _ in range(_SCRIPTS):
        try:
            with open(path, "rb") as file:
                if gains_privilege(path) and not is_privileged():
                    return Image(path, "is a setuid program", traceable=False)
                interpreter = _interpreter(file)
                if interpreter is None:
                    return _inspect_elf(path, file)
                path = interpreter
        except OSError as error:
            return Image(path, f"can't be looked at ({error.strerror})", harmless=True)
        except (_Unreadable, struct.error):
            return Image(path, "is no program that rbinder knows")
    return Image(path, "is reached through too many interpreters")


def _interpreter(file: BinaryIO) -> str | None:
    """What executes the file in its place; None for an ELF file."""
    start = file.read(_LINE)
    if start.startswith(b"\x7fELF"):
        return None
    if not start.startswith(b"#!"):
        return _SHELL
    words = start[2:].partition(b"\n")[0].split(maxsplit=1)
    return os.fsdecode(words[0]) if words else _SHELL


def _inspect_elf(path: str, file: BinaryIO) -> Image:
    header = _HEADER.unpack(_at(file, 0, _HEADER.size))
    identification, kind, machine, segments_at, size, count = *header[:3], header[5], header[9], header[10]
    if identification[4] != 2:
        return Image(path, "is a 32-bit program", traceable=False)
    if identification[5] != 1 or machine != _MACHINES.get(os.uname().machine) or kind not in (2, 3):
        return Image(path, "is built for another machine", traceable=False)
    if size != _SEGMENT.size:
        raise _Unreadable
    segments = list(_SEGMENT.iter_unpack(_at(file, segments_at, size * count)))
    if any(_is_go(file, segment) for segment in segments if segment[0] == _PT_NOTE):
        return Image(path, "is a Go program, which makes its calls without the C library", harmless=True)
    if not any(segment[0] == _PT_INTERP for segment in segments):
        return Image(path, "is statically linked", harmless=True)
    for name in _needed(file, segments):
        if _SANITIZERS.match(name):
            return Image(path, f"was built with a sanitizer ({name.decode(errors='replace')}), which has to come first")
    return Image(path)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    if size > _READ:
        raise _Unreadable
    file.seek(offset)
    return file.read(size)


def _is_go(file: BinaryIO, segment: tuple[int, ...]) -> bool:
    """Whether a segment of notes has Go's, the build id: a type, 4, and the name."""
    return b"\4\0\0\0" + _GO_NOTE in _at(file, segment[2], segment[5])


def _needed(file: BinaryIO, segments: list[tuple[int, ...]]) -> Iterator[bytes]:
    """The names of the libraries it is linked with."""
    tables = [_at(file, segment[2], segment[5]) for segment in segments if segment[0] == _PT_DYNAMIC]
    entries = [entry for table in tables for entry in _DYNAMIC.iter_unpack(table[: len(table) // 16 * 16])]
    names = _file_offset(segments, dict(entries).get(_DT_STRTAB, 0))
    for tag, value in entries:
        if tag == _DT_NULL:
            return
        if tag == _DT_NEEDED:
            yield _at(file, names + value, _NAME).partition(b"\0")[0]  # the whole table has megabytes in some


def _file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, _, offset, start, _, size, _, _ in segments:
        if kind == _PT_LOAD and start <= address < start + size:
            return offset + address - start
    raise _Unreadable
