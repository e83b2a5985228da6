"""Marks for scenarios that make sense with one engine alone; each use says why in a comment."""

from __future__ import annotations

import pytest

WITH_PTRACE = pytest.mark.parametrize("engine", ["ptrace"], indirect=True, scope="session")
WITH_AGENT = pytest.mark.parametrize("engine", ["agent"], indirect=True, scope="session")
