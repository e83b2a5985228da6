"""A small version of each row of docs/attribution.md: no call in another's trace, and with the agent none unbound."""

from __future__ import annotations

import pytest

from attribution.catalogue import small
from attribution.measure import measure
from attribution.rows import LATE, Row, calls

REQUESTS = 384


@pytest.mark.parametrize("row", small(), ids=lambda row: row.name)
def test_row(row: Row, engine: str) -> None:
    verdicts = measure(row, engine, REQUESTS)
    assert verdicts.failed == 0
    expected = [calls(row.shapes[number % len(row.shapes)]) for number in range(REQUESTS)]
    assert verdicts.total() == sum(expected)
    assert verdicts.wrongs == []
    if engine == "agent":
        strict = [shape for shape in row.shapes if shape != LATE and shape not in row.loose]
        assert {shape: verdicts.calls[shape]["unbound"] for shape in strict} == dict.fromkeys(strict, 0)


def test_without_an_engine_nothing_is_bound() -> None:
    """The judge itself: what isn't traced has no trace."""
    verdicts = measure(small()[0], "", 64)
    assert verdicts.total("unbound") == verdicts.total() > 0
