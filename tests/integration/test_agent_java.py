"""A Java program looks at itself, and finds nothing of the adapter for Java."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from engines import WITH_AGENT
from harness import DEADLINE, TARGETS, Rbinder
from processes import same

pytestmark = WITH_AGENT


@pytest.mark.parametrize("options", [(), ("-Xcheck:jni",)], ids=["plain", "checked"])
def test_stack_traces_are_the_same(rbinder: Rbinder, tmp_path: Path, options: tuple[str, ...]) -> None:
    """And nothing is printed, even where the machine is told to complain of how it is used."""
    subprocess.run(["javac", "-d", str(tmp_path), str(TARGETS / "JavaTraces.java")], check=True, timeout=4 * DEADLINE)
    outcome = same(rbinder, "java", *options, "-cp", str(tmp_path), "JavaTraces", timeout=4 * DEADLINE)
    assert outcome.status == 0
    assert outcome.stdout.endswith("204\n")
    assert "Rbinder" not in outcome.stdout
    assert outcome.stdout.count("runWorker") >= 5
