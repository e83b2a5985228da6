"""Fixtures of the tests of exporters, and of the ring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made import Surrounded, make_spans
from opentelemetry.sdk.trace import ReadableSpan
from traffic import Traffic, number

from rbinder import agent
from rbinder.agent import build as agent_build
from rbinder.agent import pump, stencils


@pytest.fixture(scope="module")
def spans() -> list[ReadableSpan]:
    traffic = Traffic()
    exchanges = [record for i in range(1, 41) for record in traffic.whole(number(i))]
    return make_spans(traffic.process(), traffic.connection(1), *exchanges)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ring's reader as it is in the sources now."""
    path = tmp_path_factory.mktemp("reader") / "reader.so"
    agent_build.build("reader", os.uname().machine, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent, "reader", lambda: path)
        pump.load.cache_clear()
        stencils._functions.cache_clear()
        yield path
    pump.load.cache_clear()
    stencils._functions.cache_clear()


@pytest.fixture
def surrounded() -> Iterator[Surrounded]:
    made = Surrounded()
    yield made
    made.close()


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Sets the endpoint and the protocol."""

    def set_both(endpoint: str, protocol: str) -> None:
        for name in list(os.environ):
            if name.startswith("OTEL_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)

    return set_both
