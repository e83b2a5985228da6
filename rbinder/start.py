"""Starting the command: what the program inherits is what it would have had without rbinder."""

from __future__ import annotations

import errno
import os

from rbinder.inheritance import Inherited

_REFUSED = b"no filter "


def environment() -> dict[bytes, bytes]:
    """The environment rbinder was started with: Python may have added to its own (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [line.partition(b"=") for line in file.read().split(b"\0") if b"=" in line]
    except OSError:
        return dict(os.environb)
    return {name: value for name, _, value in pairs}


def let_go(*descriptors: int) -> None:
    """Standard streams of ours lead nowhere from now on."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


class Start:
    """A child that waits to be released and then executes the command."""

    def __init__(
        self,
        path: str,
        arguments: tuple[str, ...],
        environment: dict[bytes, bytes],
        inherited: Inherited,
    ) -> None:
        self._gate_reader, self._gate = os.pipe()
        self._failure, self._failure_writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._child(path, arguments, environment, inherited)
        os.close(self._gate_reader)
        os.close(self._failure_writer)

    def release(self, program: bytes, seccomp_number: int) -> None:
        """Let the child go on: install the filter, execute the command."""
        os.write(self._gate, seccomp_number.to_bytes(4, "little") + len(program).to_bytes(4, "little") + program)
        os.close(self._gate)

    def outcome(self) -> tuple[bool, int]:
        """(whether the filter was refused, the errno of an execution that failed or 0). Can be asked once; waits until
        the child has executed the command or ended."""
        data = b""
        while piece := os.read(self._failure, 64):
            data += piece
        os.close(self._failure)
        return data.startswith(_REFUSED), int.from_bytes(data.removeprefix(_REFUSED), "little")

    def _child(
        self,
        path: str,
        arguments: tuple[str, ...],
        environment: dict[bytes, bytes],
        inherited: Inherited,
    ) -> None:
        try:
            os.close(self._gate)
            header = os.read(self._gate_reader, 8)
            seccomp_number, size = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:], "little")
            program = b""
            while len(program) < size and (piece := os.read(self._gate_reader, size - len(program))):
                program += piece
            if len(header) < 8:
                os._exit(125)  # the tracer is gone
            if environment.get(b"LISTEN_PID") == str(os.getppid()).encode():  # socket activation, sd_listen_fds(3)
                environment[b"LISTEN_PID"] = str(os.getpid()).encode()
            if program:
                from rbinder.ptrace import native

                try:
                    native.install_filter(program, seccomp_number)
                except OSError:
                    os.write(self._failure_writer, _REFUSED)
            inherited.restore()
            execute(path, arguments, environment)
        except OSError as error:
            os.write(self._failure_writer, (error.errno or errno.EACCES).to_bytes(4, "little"))
        finally:
            os._exit(126)


def execute(path: str, arguments: tuple[str, ...], environment: dict[bytes, bytes]) -> None:
    """execve(2), and as execvp(3) does it, a script without an interpreter line by the shell. Raises OSError."""
    try:
        os.execve(path, arguments, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        os.execve("/bin/sh", ("sh", path, *arguments[1:]), environment)
