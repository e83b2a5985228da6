"""On what it was measured: the machine, the versions of everything, and what each tool would add to an image."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from ecosystems import JAVA_AGENT
from programs import ROOT, environment

FRAMEWORKS = ("flask", "gunicorn", "requests", "fastapi", "uvicorn", "httpx")
_CLOSURE = """
import re, sys
from importlib import metadata
def closure(names):
    seen, todo = {}, list(names)
    while todo:
        name = re.match(r"[A-Za-z0-9._-]+", todo.pop())[0].lower().replace("_", "-").replace(".", "-")
        if name in seen: continue
        try: seen[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError: continue
        todo += [one for one in seen[name].requires or [] if "extra ==" not in one]
    return seen
def size(dist):
    files = (dist.locate_file(file) for file in dist.files or [])
    return sum(file.stat().st_size for file in files if file.exists() and file.suffix != ".pyc")
own, without = (closure(filter(None, argument.split(","))) for argument in sys.argv[1:3])
print(sum(size(dist) for name, dist in own.items() if name not in without))
"""


def machine() -> dict[str, str]:
    """What the figures hold for."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", cpu, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "CPU": (model[1] if model else platform.machine())
        + (", in a virtual machine" if " hypervisor " in cpu else ""),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        "kernel": f"Linux {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def versions(directory: Path) -> dict[str, str]:
    """Of rbinder, the runtimes and the peers, as far as they are there; `directory` is where the peers are."""
    commit = _said("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    found = {
        "rbinder": metadata.version("rbinder") + (f" ({commit})" if commit else ""),
        "Python": platform.python_version(),
    }
    for name, pattern, *command in (
        ("Node", r"v(\S+)", "node", "--version"),
        ("Ruby", r"ruby (\S+)", "ruby", "--version"),
        ("puma", r"version (\S+)", "puma", "--version"),
        ("Java", r'version "([^"]+)"', "java", "-version"),
        ("Go", r"go(\d\S+)", "go", "version"),
        ("gcc", r"(\d+\.\d+\.\d+)", "gcc", "--version"),
        ("strace", r"version (\S+)", "strace", "-V"),
    ):
        told = re.search(pattern, _said(*command))
        if told:
            found[name] = told[1]
    python = directory / "venv" / "bin" / "python"
    if python.exists():
        listed = json.loads(
            _said(str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check") or "[]"
        )
        wanted = (*FRAMEWORKS, "opentelemetry-sdk", "opentelemetry-instrumentation")
        found |= {one["name"]: one["version"] for one in listed if one["name"].lower() in wanted}
    package = directory / "node_modules" / "@opentelemetry" / "auto-instrumentations-node" / "package.json"
    if package.exists():
        found["@opentelemetry/auto-instrumentations-node"] = json.loads(package.read_text())["version"]
    if (directory / "opentelemetry-javaagent.jar").exists():
        found["opentelemetry-javaagent"] = JAVA_AGENT.rpartition(":")[2]
    return found


def sizes(directory: Path) -> dict[str, int]:
    """Bytes on disk, byte code left out."""
    found = {"rbinder and the packages it needs": _packages(sys.executable, "rbinder", "") + _libraries()}
    found["Python, for rbinder, where the image has none"] = _python()
    python = directory / "venv" / "bin" / "python"
    if python.exists():
        peers = "opentelemetry-distro,opentelemetry-exporter-otlp-proto-http," + ",".join(
            f"opentelemetry-instrumentation-{name}" for name in ("flask", "requests", "fastapi", "httpx")
        )
        found["opentelemetry-instrument (Python)"] = _packages(str(python), peers, ",".join(FRAMEWORKS))
    if (modules := directory / "node_modules").exists():
        found["@opentelemetry/auto-instrumentations-node"] = tree(modules)
    if (jar := directory / "opentelemetry-javaagent.jar").exists():
        found["OpenTelemetry Java agent"] = jar.stat().st_size
    if strace := shutil.which("strace"):
        found["strace"] = Path(strace).stat().st_size
    return found


def tree(directory: Path) -> int:
    """Bytes of all files below it."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def _packages(python: str, names: str, without: str) -> int:
    return int(_said(python, "-c", _CLOSURE, names, without) or 0)


def _libraries() -> int:
    """rbinder's own files, which an editable installation doesn't list."""
    files = [path for path in (ROOT / "rbinder").rglob("*") if path.suffix in (".py", ".so", ".c", ".h")]
    other = f"-{platform.machine()}.so"
    return sum(path.stat().st_size for path in files if path.suffix != ".so" or path.name.endswith(other))


def _python() -> int:
    """The interpreter and its library, without its tests and what was installed into it."""
    library = Path(sysconfig.get_path("stdlib"))
    left_out = {"test", "tests", "site-packages", "dist-packages", "__pycache__", "idlelib", "ensurepip"}
    files = (path for path in library.rglob("*") if not left_out & set(path.relative_to(library).parts))
    kept = [path for path in files if path.is_file() and path.suffix != ".a"]
    return sum(path.stat().st_size for path in kept) + Path(sys.executable).resolve().stat().st_size


def _said(*command: str) -> str:
    """Both of its outputs; "" where there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment({}))
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""
