"""The adapter for Java where a machine looks closely, and where it has to stay away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS

from attribution.measure import measure
from attribution.rows import Row

# Of work that goes through the program's own queues and threads: what is always bound; what mostly is, but for threads
# that waited before the first request and those of which nothing is known yet; and what can't be.
BOUND = (
    *("linked", "array", "stack", "priority", "delayed", "looped"),
    *("thread", "timer", "scheduled", "completed", "stream", "serial"),
)
MAYBE = ("transfer", "direct", "plain", "parked", "list", "runs", "box", "grown", "late", "lent")
UNBOUND = ("drained", "gathered", "carried", "again")

pytestmark = [WITH_AGENT, pytest.mark.usefixtures("engine")]

REQUESTS = 128
SHAPES = ("once", "sleep", "io", "fan", "nested", "limited", "pool")
# The machine looks at the classes that were changed as closely as at anybody's, and at how it is called.
STRICT = ("-XX:+UnlockDiagnosticVMOptions", "-XX:+BytecodeVerificationLocal", "-Xcheck:jni")
# By its name alone.
TRACER = """package io.opentelemetry.sdk.trace;
public class SdkTracerProvider {
    public static void main(String[] words) throws Exception {
        Class.forName("ShapesJava").getMethod("main", String[].class).invoke(null, (Object) words);
    }
}
"""


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("classes")
    tracer = directory / "SdkTracerProvider.java"
    tracer.write_text(TRACER)
    sources = [*(str(TARGETS / f"{name}.java") for name in ("ShapesJava", "ShapesQueues")), str(tracer)]
    subprocess.run(["javac", "-d", str(directory), *sources], check=True, timeout=4 * DEADLINE)
    return directory


def row(classes: Path, client: str, *words: str, shapes: tuple[str, ...] = SHAPES) -> Row:
    before = ("java", "-cp", str(classes), *words)
    return Row("", "Java", lambda port, back: (*before, str(port), str(back), client, "16"), shapes)


@pytest.mark.parametrize("client", ["url", "http", "async"])
def test_strictly_verified(classes: Path, client: str) -> None:
    verdicts = measure(row(classes, client, *STRICT, "ShapesJava"), "agent", REQUESTS)
    assert verdicts.failed == 0
    assert verdicts.wrongs == []
    assert verdicts.total("right") == verdicts.total() > REQUESTS


def test_little_memory(classes: Path) -> None:
    """What was handed over is forgotten, and found again while it is needed, however often memory is collected."""
    verdicts = measure(row(classes, "async", "-Xmx24m", "-XX:+UseSerialGC", "ShapesJava"), "agent", 8 * REQUESTS)
    assert verdicts.failed == 0
    assert verdicts.total("right") == verdicts.total() > 8 * REQUESTS


@pytest.mark.parametrize("client", ["url", "async"])
def test_queues_of_the_programs_own(classes: Path, client: str) -> None:
    """Tools that are lent, batches, work that is put in again: in doubt a call is for nobody, and never for another."""
    shapes = (*BOUND, *MAYBE, *UNBOUND)
    verdicts = measure(row(classes, client, *STRICT, "ShapesQueues", shapes=shapes), "agent", 16 * len(shapes))
    assert verdicts.failed == 0
    assert verdicts.wrongs == []
    assert {shape: verdicts.calls[shape]["unbound"] for shape in BOUND} == dict.fromkeys(BOUND, 0)


@pytest.mark.parametrize(
    ("words", "options"),
    [(("ShapesJava",), ("--no-runtime-hooks",)), (("io.opentelemetry.sdk.trace.SdkTracerProvider",), ())],
    ids=["not wanted", "traced"],
)
def test_stays_away(classes: Path, words: tuple[str, ...], options: tuple[str, ...]) -> None:
    """A hand-over can't be followed then."""
    verdicts = measure(row(classes, "url", *words, shapes=("pool",)), "agent", REQUESTS, options=options)
    assert verdicts.failed == 0
    assert verdicts.total("unbound") == verdicts.total() == REQUESTS
