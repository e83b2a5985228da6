"""The ecosystem's own instrumentation that needs no change of the code: what users would take instead."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PYTHON_PACKAGES = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-httpx",
    "flask>=3",
    "gunicorn>=25",
    "requests>=2.31",
    "fastapi>=0.110",
    "uvicorn[standard]>=0.30",
    "httpx>=0.27",
)
# The last one for Node 18 and 20, which distributions have: 0.82 needs 22.15.
NODE_PACKAGES = ("@opentelemetry/api@1", "@opentelemetry/auto-instrumentations-node@~0.81.2")
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.20.1"
LIMIT = 900  # seconds for an installation
# What every OpenTelemetry SDK is told, so that it does what rbinder does: traces alone, as protobuf over HTTP.
TRACES_ALONE = (
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_TRACES_EXPORTER", "otlp"),
    ("OTEL_METRICS_EXPORTER", "none"),
    ("OTEL_LOGS_EXPORTER", "none"),
    ("OTEL_PROPAGATORS", "tracecontext"),
)


class BuildFailed(Exception):
    """A program, or what it is compared with, can't be had here; one sentence says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What goes before a program's command and after it, and into its environment."""

    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = TRACES_ALONE

    def command(self, plain: Sequence[str]) -> list[str]:
        """The program's command with this instrumentation."""
        return [*self.prefix, *plain, *self.suffix]


class Peers:
    """Installs them, once, into a directory that is kept. Every method raises BuildFailed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def interpreter(self) -> str:
        """Python with what the Python programs need, which they run in whether they are instrumented or not."""
        return str(self.directory / "venv" / "bin" / "python")

    def python(self) -> Peer:
        """opentelemetry-instrument, in a virtual environment with the frameworks."""

        def install() -> None:
            run([sys.executable, "-m", "venv", "--clear", str(self.directory / "venv")])
            run([self.interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PYTHON_PACKAGES])

        once(self.directory / "venv.done", PYTHON_PACKAGES, install)
        return Peer((str(self.directory / "venv" / "bin" / "opentelemetry-instrument"),))

    def node(self) -> Peer:
        """The automatic instrumentations, required before the program."""
        need("npm")

        def install() -> None:
            shutil.rmtree(self.directory / "node_modules", ignore_errors=True)
            for name in ("package.json", "package-lock.json"):
                (self.directory / name).unlink(missing_ok=True)
            run(["npm", "install", "--loglevel=error", "--prefix", str(self.directory), *NODE_PACKAGES])

        once(self.directory / "node.done", NODE_PACKAGES, install)
        register = "node_modules/@opentelemetry/auto-instrumentations-node/build/src/register.js"
        local = ("OTEL_NODE_RESOURCE_DETECTORS", "env,host,os,process")  # all, by default: those ask clouds
        return Peer(environment=(*TRACES_ALONE, local, ("NODE_OPTIONS", f"--require {self.directory / register}")))

    def java(self) -> Peer:
        """The OpenTelemetry Java agent."""
        need("mvn")
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={JAVA_AGENT}",
                f"-DoutputDirectory={self.directory}", "-Dmdep.stripVersion=true"]  # fmt: skip
        once(self.directory / "java.done", (JAVA_AGENT,), lambda: run(copy))
        agent = self.directory / "opentelemetry-javaagent.jar"
        return Peer(environment=(*TRACES_ALONE, ("JAVA_TOOL_OPTIONS", f"-javaagent:{agent}")))


def need(command: str) -> str:
    """Its path. Raises BuildFailed."""
    found = shutil.which(command)
    if found is None:
        raise BuildFailed(f"{command} is not installed")
    return found


def run(command: Sequence[str], directory: Path | None = None) -> str:
    """Run it to its end; returns its output. Raises BuildFailed with the last that it said."""
    try:
        done = subprocess.run(command, check=True, timeout=LIMIT, capture_output=True, text=True, cwd=directory)
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout).split())[-300:]
        raise BuildFailed(f"{' '.join(command[:4])} failed: {said}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{' '.join(command[:4])} failed: {error}") from None
    return done.stdout


def once(stamp: Path, inputs: Sequence[str], make: Callable[[], object]) -> None:
    """Make something unless it has been made of the same inputs already."""
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    make()
    stamp.write_text(digest)
