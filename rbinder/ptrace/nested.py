"""A tracer below us."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbinder.ptrace.engine import Engine
    from rbinder.ptrace.tracee import Tracee


def ptrace(engine: Engine, tracee: Tracee, arguments: tuple[int, ...]) -> None:
    pass
