"""Fixtures of every test that runs programs: the engine, a collector, and rbinder itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from harness import Collector, Rbinder


def pytest_configure() -> None:
    """Under nohup, or with & in a script, programs would be born ignoring signals, as they may, and not as the tests
    expect; a handler ends with execve(2)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)


@pytest.fixture(scope="session", params=["ptrace", "agent"])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name; every scenario runs with each."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def one_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """The collector's process, for tests and fixtures that tell their spans by trace id."""
    collector = Collector(tmp_path_factory.mktemp("collector"))
    yield collector
    collector.stop()


@pytest.fixture
def collector(one_collector: Collector) -> Collector:
    """The collector with nothing in it."""
    one_collector.reset()
    return one_collector


@pytest.fixture
def rbinder(engine: str, one_collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rbinder]:
    """Starts commands under rbinder, and ends with the test what still runs."""
    starter = Rbinder(engine, one_collector, tmp_path_factory.mktemp("rbinder"))
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def module_rbinder(
    engine: str, one_collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rbinder]:
    """The same, for services that a whole file of tests talks to."""
    starter = Rbinder(engine, one_collector, tmp_path_factory.mktemp("rbinder"))
    yield starter
    starter.close()
