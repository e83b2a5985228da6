"""Which engine runs a command, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rbinder import agent
from rbinder.agent.images import inspect
from rbinder.agent.place import Place, find
from rbinder.errors import EngineUnavailable

NOT_BUILT = "the agent was not built for this machine ({machine})"
ABOVE = "rbinder is itself being traced, by another rbinder's agent"
REMEDY = "install a C compiler and then rbinder once more, or use -e ptrace"


@dataclass(frozen=True, slots=True)
class Choice:
    """`place`: of the agent's library for the engine agent; None: the command runs without. `untraced`: why the command
    itself is not traced by the engine that was asked for."""

    engine: str
    reason: str
    place: Place | None = None
    untraced: str = ""


def choose(wanted: str, path: str) -> Choice:
    """The engine for the file `path` where `wanted` (of config.ENGINES) was asked for. Raises EngineUnavailable."""
    if agent_above():
        return Choice("agent", ABOVE, None, f"{ABOVE}: the program is traced by that one alone")
    if wanted == "ptrace":
        return Choice("ptrace", "asked for")
    library = agent.library()
    if library is None or agent.reader() is None:
        reason = NOT_BUILT.format(machine=os.uname().machine)
        if wanted == "agent":
            raise EngineUnavailable(f"{reason}: {REMEDY}")
        return Choice("ptrace", reason)
    image = inspect(path)
    if wanted == "auto" and not image.suits:
        return Choice("ptrace", image.sentence)
    place = find(library) if image.suits or image.harmless else None
    if place is None and image.suits:
        reason = f"{library} can't be loaded from where it is"
        return Choice("ptrace", reason) if wanted == "auto" else Choice("agent", reason, None, reason)
    return Choice("agent", image.sentence, place, image.untraced)


def agent_above() -> bool:
    """Whether this process is itself in the hands of another rbinder's agent."""
    own = f"/agent-{os.uname().machine}.so"
    try:
        with open("/proc/self/maps") as file:
            return any(line.rstrip("\n").endswith(own) for line in file)
    except OSError:
        return False
