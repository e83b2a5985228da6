"""The launcher of the engine agent: the program needs neither keeper nor collector to go on."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from rbinder.agent.choice import Choice
from rbinder.agent.keeper import Keeper
from rbinder.agent.shared import Shared
from rbinder.channel import open_pipe
from rbinder.config import Config
from rbinder.control import Link, exit_code
from rbinder.errors import EngineUnavailable
from rbinder.inheritance import inherit
from rbinder.kernel import PR_SET_CHILD_SUBREAPER, prctl
from rbinder.launcher import COLLECTOR_KILLED, Launcher, fork, let_go_of_stderr_with, say, start

_KEEPER_KILLED = "the keeper was killed: the program goes on, and what it starts from now on runs untraced"
_RESTARTS = 3  # of the collector ...
_RESTART_TIME = 60.0  # ... within so many seconds: what kills it again and again shall not do so for ever


def run(config: Config, path: str, choice: Choice) -> int:
    """Start the command below a keeper, and a collector; return the exit status. Raises as launcher.run.

    Launcher and keeper both hold the records' pipe open, so that the collector outlives any of them.
    """
    launcher = os.getpid()
    inherited = inherit()
    with contextlib.suppress(OSError):
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # whose keeper is killed comes to us
    reader, writer = open_pipe()
    ours, theirs = Link.pair()
    try:
        shared = Shared(config)
    except OSError as error:
        raise EngineUnavailable(f"no shared memory can be had ({error.strerror}): try -e ptrace") from None

    def keep() -> None:
        os.close(reader)
        ours.close()
        Keeper(config, theirs, writer, shared, choice.place).run(path, inherited)

    def collect() -> None:
        ours.close()
        os.close(writer)
        let_go_of_stderr_with(launcher)
        from rbinder.collector import run as run_collector

        run_collector(reader, config, shared.descriptor)

    keeper = fork(keep)
    theirs.close()
    return AgentLauncher(config, ours, keeper, lambda: start(collect), writer, choice.untraced).wait()


class AgentLauncher(Launcher):
    """The same with a keeper, which the program doesn't need to go on, and a collector that another can follow."""

    def __init__(
        self,
        config: Config,
        link: Link,
        keeper: int,
        start_collector: Callable[[], tuple[int, int]],
        records: int,
        untraced: str,
    ) -> None:
        super().__init__(config, link, keeper, start_collector)
        self._records = records
        self._untraced = untraced
        self._restarts: list[float] = []

    def _collect(self) -> None:
        if not self._collector and self._untraced:
            say(self._untraced)  # of what could not even be executed, that is said
        super()._collect()

    def _ring(self) -> None:
        """The keeper waits for messages as it does for signals."""

    def _pass_on(self, number: int, code: int, sender: int) -> None:
        if self._engine:
            super()._pass_on(number, code, sender)
        elif self._root:
            with contextlib.suppress(OSError):
                os.kill(self._root, number)

    def _collector_ended(self, status: int) -> None:
        now = time.monotonic()
        self._restarts = [when for when in self._restarts if when > now - _RESTART_TIME]
        if self._status is not None or not os.WIFSIGNALED(status) or len(self._restarts) >= _RESTARTS:
            self._collector_status = status
            return
        self._restarts.append(now)
        say(f"{COLLECTOR_KILLED}; another one goes on")
        os.close(self._collector_end)
        self._collector, self._collector_end = self._start_collector()

    def _engine_ended(self, status: int) -> None:
        self._take_messages()
        if self._status is not None:
            return
        if not os.WIFSIGNALED(status) or not self._root:
            raise EngineUnavailable("the keeper ended before the program did: try `rbinder --check`")
        say(_KEEPER_KILLED)

    def _child_stopped(self, pid: int, number: int) -> None:
        if pid == self._root:  # the keeper is gone
            self._stop(signal.Signals(number))

    def _orphan_ended(self, pid: int, status: int) -> None:
        if pid == self._root and self._status is None:
            self._status = exit_code(status)

    def _end(self, status: int) -> int:
        os.close(self._records)
        return super()._end(status)
