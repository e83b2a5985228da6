"""In what two variants of a program differ: the time of their functions, by perf's samples, for a request."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from profiles import FREQUENCY, recording, said
from programs import DEADLINE, Failure

COMPILED = "compiled at run time"  # no file has it, and perf no name for it
LIBRARIES, FUNCTIONS, WIDTH = 6, 12, 64  # lines, and characters of a name

Place = tuple[str, str]  # library, function
Taken = Mapping[Place, float]  # microseconds of CPU time for a request


class Sampler:
    """Adds up the samples in the processes of each variant. Raises Failure where perf can't be had, or says nothing."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._samples: defaultdict[str, Counter[Place]] = defaultdict(Counter)
        self._requests: Counter[str] = Counter()

    @contextmanager
    def sampling(self, variant: str, pids: Sequence[int]) -> Iterator[None]:
        """What the processes do meanwhile."""
        record = recording(self._data, pids)
        asking, answering = os.pipe(), os.pipe()
        theirs, ours = (asking[0], answering[1]), (asking[1], answering[0])
        control = ["--delay=-1", "--control=fd:{},{}".format(*theirs)]  # it samples when it is told to, and says so
        perf = subprocess.Popen([*record, *control], pass_fds=theirs, stderr=subprocess.DEVNULL)
        for end in theirs:
            os.close(end)
        try:
            os.write(ours[0], b"enable\n")
            if not os.read(ours[1], 16):
                raise Failure("perf can't look into the program")
            yield
        finally:
            perf.send_signal(signal.SIGINT)
            perf.wait(DEADLINE)
            for end in ours:
                os.close(end)
        report = ["perf", "report", "-q", "--stdio", "-i", str(self._data), "--field-separator", "\t"]
        self._samples[variant] += samples(said([*report, "-F", "sample,dso,sym"]))

    def count(self, variant: str, requests: int) -> None:
        """So many were answered while it was sampled."""
        self._requests[variant] += requests

    def taken(self, variant: str) -> Taken:
        """All of its processes together."""
        requests, found = self._requests[variant], self._samples[variant]
        if not requests or not found:
            raise Failure("perf has seen nothing of the program")
        return {place: count * 1e6 / FREQUENCY / requests for place, count in found.items()}


def samples(report: str) -> Counter[Place]:
    """By library and function, of lines of count, library and function with tabs between them."""
    found: Counter[Place] = Counter()
    for line in report.splitlines():
        fields = [field.strip() for field in line.split("\t", 2)]
        if len(fields) == 3 and fields[0].isdigit():
            place = _place(fields[1], fields[2])
            found[place] += int(fields[0])
    return found


def _place(library: str, function: str) -> Place:
    if library.startswith(("[JIT]", "[unknown]", "//anon", "anon", "perf-")):
        return COMPILED, COMPILED
    name = re.sub(r"^\[.\] ", "", function)
    return "kernel" if library.startswith(("[kernel", "[guest.kernel")) else library, name


def told(one: Taken, other: Taken) -> str:
    """In which libraries and functions the first takes longer than the other, or shorter: the largest differences."""
    libraries = _by_library(one), _by_library(other)
    sums = sum(one.values()), sum(other.values())
    lines = ["microseconds of CPU time for a request: runtime asked, not asked, difference", ""]
    lines += [_line(*sums, "all")]
    lines += _largest(*libraries, LIBRARIES)
    functions = ({f"{place[1]}, {place[0]}": time for place, time in each.items()} for each in (one, other))
    return "\n".join([*lines, "", *_largest(*functions, FUNCTIONS)])


def _by_library(taken: Taken) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for (library, _), time in taken.items():
        found[library] += time
    return found


def _largest(one: Mapping[str, float], other: Mapping[str, float], count: int) -> list[str]:
    differences = {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}}
    first = sorted(differences, key=lambda name: -abs(differences[name]))[:count]
    return [_line(one.get(name, 0.0), other.get(name, 0.0), name) for name in first]


def _line(one: float, other: float, name: str) -> str:
    return f"{one:9.1f} {other:9.1f} {one - other:+8.1f}   {name if len(name) <= WIDTH else name[: WIDTH - 3] + '...'}"
