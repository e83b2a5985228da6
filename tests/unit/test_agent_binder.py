"""The agent's binder against the Python one: the same scripts of events go to both, and every word must be the same."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from native import SANITIZED, build
from native.binder_scripts import Traffic, call_head, context_head, cut_edits
from native.binder_twin import Twin

from rbinder.binder import reports

FUZZ_SECONDS = float(os.environ.get("RBINDER_FUZZ_SECONDS", "2"))
BINDER = ("binder_world.c", "context.c", "propagation.c", "rules.c", "edits.c", "turns.c", "dialogue.c", "plans.c")
HTTP = ("memory.c", "scanner.c", "lines.c", "fields.c", "walk.c", "chunks.c")
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("binder") / "driver"
    return build(("binder_driver.c", *BINDER, *HTTP), out, (*SANITIZED, "-DRBINDER_HOSTED"))


@pytest.fixture(autouse=True)
def whole_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records show heads as they were read: what may leave the machine is another test's."""
    monkeypatch.setattr(reports, "reduce_head", lambda raw, limit: raw)


def perform(driver: Path, script: Iterable[str]) -> list[str]:
    """What the driver prints."""
    done = subprocess.run([driver], input="".join(f"{line}\n" for line in script).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def compare(driver: Path, twins: list[Twin], first_seed: int = 0) -> None:
    """Raises at the first script whose events differ."""
    printed = iter(perform(driver, (line for twin in twins for line in twin.script)))
    for seed, twin in enumerate(twins, first_seed):
        for line in twin.lines:
            assert next(printed) == line, f"script {seed}"
    assert next(printed, None) is None


def for_a_while(check: Callable[[int], None], step: int, share: float) -> None:
    """Runs `check` with a first seed, at least once, for a share of the time there is."""
    end, seed = time.monotonic() + FUZZ_SECONDS * share, 0
    while not seed or time.monotonic() < end:
        check(seed)
        seed += step


def test_traffic(driver: Path) -> None:
    def check(first: int) -> None:
        compare(driver, [Traffic(random.Random(seed)).run(60) for seed in range(first, first + 300)], first)

    for_a_while(check, 300, 0.5)


def test_long_conversations(driver: Path) -> None:
    def check(first: int) -> None:
        compare(driver, [Traffic(random.Random(-1 - seed)).run(700) for seed in range(first, first + 10)], first)

    for_a_while(check, 10, 0.2)


def test_extracted_contexts(driver: Path) -> None:
    def check(first: int) -> None:
        rng, twin = random.Random(first), Twin()
        for _ in range(50):
            twin.configure(rng.randrange(16), rng.random() < 0.5, rng.random() < 0.5, rng.getrandbits(64))
            for _ in range(40):
                twin.extract(context_head(rng))
                twin.carried(context_head(rng), call_head(rng))
        compare(driver, [twin])

    for_a_while(check, 1, 0.2)


def test_edits_with_every_result(driver: Path) -> None:
    rng, twin = random.Random(1), Twin()
    for _ in range(1000):
        twin.edits(*cut_edits(rng))
    compare(driver, [twin])


def test_empty_pools_let_go_and_lose_nothing(driver: Path) -> None:
    """The driver holds itself to it that all is given back, and that no program is told of more than it sent."""
    rng, scripts = random.Random(2), []
    for seed in range(200):
        script = Traffic(random.Random(seed)).run(60).script
        for at in range(len(script) - 1, 0, -9):
            script.insert(at, f"room {rng.choice((0, 0, 1, 2, 5, 1000))}")
        scripts += script
    perform(driver, scripts)


def served(twin: Twin) -> None:
    """A process in which a request is being served, and a connection that is about to be used."""
    twin.group(0, False)
    twin.thread(0, 0)
    twin.dialogue(0, 0, True, 0)
    twin.dialogue(1, 0, True, 0)
    twin.received(0, 0, 1, len(GET), GET)


def test_a_forked_child_works_for_its_parents_request(driver: Path) -> None:
    twin = Twin()
    served(twin)
    whose = twin.lines[-1].split()[-1]
    call = ["dialogue 2 0 1002 1 0", f"plan 0 2 1 2 - ={GET.hex()}", "sent 0 1000 2"]
    printed = perform(driver, [*twin.script, "thread 1 0", "inherit 1 0 1", "forked 0 1", *call])
    assert whose in next(line for line in printed if line.startswith("request 1002"))


def test_two_calls_on_one_connection_at_once(driver: Path) -> None:
    """No order to rely on: the second sees the heads anew, and nothing is told twice."""
    twin = Twin()
    served(twin)
    both = [f"plan 0 1 0 2 - ={GET.hex()}", f"plan 1 1 0 2 - ={GET.hex()}"]
    for order in ("01", "10"):
        printed = perform(driver, [*twin.script, *both, *(f"sent {call} 1000 3" for call in order)])
        assert [line.split()[0] for line in printed if line.startswith("request 1001")] == ["request"] * 2
        assert [line for line in printed if line.startswith("told")] == [f"told {len(GET)}"] * 2


def test_a_rest_stays_first(driver: Path) -> None:
    """While a call sends the rest of what was inserted, another can't know what comes first: hands off."""
    twin = Twin()
    served(twin)
    plan = f"plan 0 1 0 2 - ={GET.hex()}"
    part = [plan, f"sent 0 {len(GET) + 10} 2", f"plan 1 1 0 3 - ={b'..'.hex()}", f"plan 2 1 0 3 - ={b'..'.hex()}"]
    printed = perform(driver, [*twin.script, *part, "sent 2 2 3", "sent 1 1000 3"])
    plans = [line.split() for line in printed if line.startswith("plan")]
    assert [len(words) for words in plans] == [7, 7, 4]  # the last one has no edit
    assert plans[0][4].removeprefix("=").endswith(plans[1][4].removeprefix("="))
    assert plans[1][2] == "0"
    assert printed[-2] == "told 2"


def test_more_requests_than_are_remembered(driver: Path) -> None:
    """The connection is let go, and the program is told its own length."""
    twin = Twin()
    served(twin)
    many = GET * 600
    printed = perform(driver, [*twin.script, f"plan 0 1 0 2 - ={many.hex()}", "sent 0 1000000 2"])
    assert printed[-2] == f"told {len(many)}"


def test_arbitrary_events(tmp_path: Path) -> None:
    seconds = max(1, int(FUZZ_SECONDS / 4))
    flags = ("-g", "-O1", "-fsanitize=address,undefined,fuzzer", "-fno-sanitize-recover=all", "-DRBINDER_HOSTED")
    fuzzer = build(("fuzz_binder.c", *BINDER, *HTTP), tmp_path / "fuzzer", flags, "clang")
    command = [fuzzer, f"-max_total_time={seconds}", "-max_len=800", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
