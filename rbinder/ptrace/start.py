"""Starting the command as the root tracee: everything the program inherits is what it would have had without rbinder."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from rbinder.ptrace import native

# What Python itself changes at its start (signal(7) defaults are what a command would have got).
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


class Start:
    """A child that waits to be seized and then executes the command.

    `mask` are the signals that were blocked when rbinder was started; `default_interrupt` tells that SIGINT wasn't
    ignored then.
    """

    def __init__(
        self,
        path: str,
        arguments: tuple[str, ...],
        environment: dict[bytes, bytes],
        mask: set[int],
        default_interrupt: bool,
    ) -> None:
        self._gate_reader, self._gate = os.pipe()
        self._failure, self._failure_writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._child(path, arguments, environment, mask, default_interrupt)
        os.close(self._gate_reader)
        os.close(self._failure_writer)

    def release(self, program: bytes, seccomp_number: int) -> None:
        """Let the child go on: install the filter, execute the command."""
        os.write(self._gate, seccomp_number.to_bytes(4, "little") + len(program).to_bytes(4, "little") + program)
        os.close(self._gate)

    def failure(self) -> int:
        """The errno of an execution that failed, 0 where there was none. Waits until the child has decided it."""
        data = os.read(self._failure, 4)
        os.close(self._failure)
        return int.from_bytes(data, "little")

    def _child(
        self,
        path: str,
        arguments: tuple[str, ...],
        environment: dict[bytes, bytes],
        mask: set[int],
        default_interrupt: bool,
    ) -> None:
        try:
            os.close(self._gate)
            for number in _PYTHON_IGNORES:
                signal.signal(number, signal.SIG_DFL)
            if default_interrupt:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
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
                with contextlib.suppress(OSError):  # then it runs unfiltered, and unseen
                    native.install_filter(program, seccomp_number)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
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
