"""Adds to pyproject.toml what it can't say: the agent, two C libraries that are no Python modules.

Without a compiler the package is installed without them, and works with the engine ptrace alone. RBINDER_MACHINES names
the machines to build for ("x86_64 aarch64"); then a failure is an error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rbinder.agent.build import LIBRARIES, MACHINES, SOURCES, BuildFailed, build

PREFIX = "rbinder.agent."
NAMED = os.environ.get("RBINDER_MACHINES", "").split()
# Nothing is needed of any C library: what is true of all versions is true of the oldest that has a name (PEP 599, 656).
TAGS = "manylinux2014_{0}.musllinux_1_1_{0}"


def machines() -> list[str]:
    return NAMED or [machine for machine in MACHINES if machine == os.uname().machine]


class BuildLibraries(build_ext):
    """Builds each library with the project's own recipe."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", os.sep) + ".so"

    def build_extension(self, extension: Extension) -> None:
        name, _, machine = extension.name.removeprefix(PREFIX).partition("-")
        try:
            build(name, machine, Path(self.get_ext_fullpath(extension.name)).resolve())
        except BuildFailed as error:
            raise CompileError(f"{error}\nrbinder works without it, with the engine ptrace alone") from None


class TagWheel(bdist_wheel):
    """The libraries know no Python, and no C library."""

    def get_tag(self) -> tuple[str, str, str]:
        if not NAMED:
            return "py3", "none", super().get_tag()[2]
        return "py3", "none", ".".join(sorted(".".join(TAGS.format(machine) for machine in NAMED).split(".")))


def extension(name: str, machine: str) -> Extension:
    sources = sorted(os.path.relpath(path) for path in SOURCES.glob("*.c"))
    depends = sorted(os.path.relpath(path) for path in SOURCES.iterdir())
    return Extension(f"{PREFIX}{name}-{machine}", sources, depends=depends, optional=not NAMED)


setup(
    ext_modules=[extension(name, machine) for machine in machines() for name in LIBRARIES],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": TagWheel},
)
