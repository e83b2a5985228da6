"""The ecosystem's own instrumentation that needs no change of the code: what users would take instead."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from programs import Failure

PYTHON_PACKAGES = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-instrumentation-wsgi",
    "flask",
    "gunicorn",
    "requests",
)
NODE_PACKAGES = ("@opentelemetry/api", "@opentelemetry/auto-instrumentations-node")
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.10.0"
LIMIT = 600  # seconds for an installation


@dataclass(frozen=True, slots=True)
class Peer:
    """What goes before a program's command, in place of how many of its words, and into its environment."""

    prefix: tuple[str, ...] = ()
    instead_of: int = 0
    environment: tuple[tuple[str, str], ...] = ()


class Peers:
    """Installs them, once, into a directory that is kept. A peer that can't be had is None, with a sentence."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, Peer | None] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, kind: str) -> Peer | None:
        """For "python", "node", "java"; None for whatever has none."""
        if kind not in self._made:
            make = {"python": self._python, "node": self._node, "java": self._java}.get(kind)
            try:
                self._made[kind] = make() if make else None
            except (OSError, subprocess.SubprocessError, Failure) as error:
                print(f"  (no peer for {kind}: {error})", flush=True)
                self._made[kind] = None
        return self._made[kind]

    def _python(self) -> Peer:
        venv = self._directory / "venv"
        if not (venv / "bin" / "opentelemetry-instrument").exists():
            _run([sys.executable, "-m", "venv", str(venv)])
            _run([str(venv / "bin" / "pip"), "install", "--quiet", *PYTHON_PACKAGES])
        return Peer((str(venv / "bin" / "opentelemetry-instrument"), str(venv / "bin" / "python")), 1)

    def _node(self) -> Peer:
        modules = self._directory / "node_modules"
        if not (modules / "@opentelemetry" / "auto-instrumentations-node").exists():
            _run(["npm", "install", "--silent", "--prefix", str(self._directory), *NODE_PACKAGES])
        register = modules / "@opentelemetry" / "auto-instrumentations-node" / "build" / "src" / "register.js"
        return Peer(environment=(("NODE_OPTIONS", f"--require {register}"),))

    def _java(self) -> Peer:
        jar = self._directory / "opentelemetry-javaagent.jar"
        if not jar.exists():
            if shutil.which("mvn") is None:
                raise Failure("mvn is not installed")
            _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={JAVA_AGENT}",
                  f"-DoutputDirectory={self._directory}", "-Dmdep.stripVersion=true"])  # fmt: skip
        return Peer(environment=(("JAVA_TOOL_OPTIONS", f"-javaagent:{jar}"),))


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
