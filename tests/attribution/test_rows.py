"""A small version of each row of docs/attribution.md: no call in another's trace, and with the agent none unbound."""

from __future__ import annotations

import pytest

from attribution.catalogue import small
from attribution.measure import measure
from attribution.rows import Row, calls

REQUESTS = 384


@pytest.mark.parametrize("row", small(), ids=lambda row: row.name)
def test_row(row: Row, engine: str) -> None:
    verdicts = measure(row, engine, REQUESTS)
    assert verdicts.failed == 0
    expected = [calls(row.shapes[number % len(row.shapes)]) for number in range(REQUESTS)]
    assert verdicts.total() == sum(expected)
    assert verdicts.wrongs == []
    if engine == "agent":
        assert {shape: count["unbound"] for shape, count in verdicts.calls.items() if shape not in row.loose} == {
            shape: 0 for shape in row.shapes if shape not in row.loose
        }


def test_without_an_engine_nothing_is_bound() -> None:
    """The judge itself: what isn't traced has no trace."""
    verdicts = measure(small()[0], "", 64)
    assert verdicts.total("unbound") == verdicts.total() > 0
