"""Where spans go: each exporter is a name and the place of the function that makes it, imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from rbinder.config import Config
    from rbinder.exporters.stderr import Stderr

FACTORIES = {
    "otlp": "rbinder.exporters.otlp:create",
    "console": "rbinder.exporters.console:create",
    "file": "rbinder.exporters.file:create",
}


class Exporter(Protocol):
    """What the collector asks of an exporter, besides taking spans as its `processor`. No call but close() waits."""

    @property
    def processor(self) -> SpanProcessor: ...

    @property
    def lost(self) -> int:
        """Spans that were offered and will not arrive."""
        ...

    @property
    def reason(self) -> str:
        """Why spans were lost, "" where none were."""
        ...

    def tick(self, now: float) -> float | None:
        """Do what is due at `now` (time.monotonic seconds); returns the seconds until something is, None: nothing."""
        ...

    def kick(self) -> None:
        """Hand over what is there without waiting for more."""
        ...

    def last_call(self) -> None:
        """No more spans will come: hand over the rest, and be patient no longer."""
        ...

    def close(self, deadline: float) -> None:
        """Wait for the rest to be handed over, until `deadline` (time.monotonic seconds) at the latest."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What exporters are made with. `open_in_trace` tells how many exchanges of a trace (id) have not ended yet."""

    config: Config
    stderr: Stderr
    open_in_trace: Callable[[bytes], int]


def create(name: str, surroundings: Surroundings) -> Exporter:
    """The exporter of that name. Raises KeyError for none such, ValueError with a sentence where it can't work."""
    module, _, function = FACTORIES[name].partition(":")
    make = cast(Callable[[Surroundings], Exporter], getattr(importlib.import_module(module), function))
    return make(surroundings)
