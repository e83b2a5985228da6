"""All rows there are. A runtime's rows live in a file of its own, named here once."""

from __future__ import annotations

from pathlib import Path

from attribution import dotnet, java, node, php, python, ruby
from attribution.rows import Row


def small() -> list[Row]:
    """Those that run in the tests: what the system's packages and the test extra bring is enough."""
    return [*node.system_rows(), *python.small(), *php.small(), *java.system_rows(), *ruby.small()]


def full(directory: Path) -> list[Row]:
    """All of them; what has to be installed or built is put into `directory`."""
    return [
        *node.rows(directory / "node"),
        *python.rows(),
        *ruby.rows(),
        *php.rows(directory / "php"),
        *dotnet.rows(directory / "dotnet"),
        *java.rows(directory / "java"),
    ]
