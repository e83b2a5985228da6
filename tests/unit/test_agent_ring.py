"""The ring between many producers and one consumer: nothing is lost uncounted, whoever is killed, and whenever."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import ROOT, until
from native import build
from ringed import SECOND, Delivered, Ring, split

from rbinder.agent import contract, pump
from rbinder.agent.ring import PIECE, Mark, RingInbox, unchanged, whole
from rbinder.records import Kind, Note, Record

SMALL = 1 << 14  # bytes of a ring that is soon full
FUZZ_SECONDS = float(os.environ.get("RBINDER_FUZZ_SECONDS", "2"))

Make = Callable[..., Ring]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(["ring_driver.c"], tmp_path_factory.mktemp("ring") / "driver")


@pytest.fixture
def make(driver: Path, reader: Path) -> Iterator[Make]:
    made: list[Ring] = []

    def new(capacity: int = contract.CAPACITY) -> Ring:
        made.append(Ring(driver, capacity))
        return made[-1]

    yield new
    for ring in made:
        ring.close()


def collect(ring: Ring, producers: list[subprocess.Popen[bytes]], room: int) -> list[Delivered]:
    """Drain until the producers have ended, and the rest."""
    found: list[Delivered] = []
    while any(producer.poll() is None for producer in producers):
        found += split(ring.drain(room))
    while data := ring.drain(room):
        found += split(data)
    return found


def in_order(found: list[Delivered]) -> bool:
    last: dict[int, int] = defaultdict(lambda: -1)
    for each in found:
        if each.number <= last[each.pid]:
            return False
        last[each.pid] = each.number
    return True


@pytest.mark.parametrize(
    ("capacity", "most", "room"), [(1 << 20, 600, 1 << 20), (SMALL, 600, 4096), (1 << 18, 60000, 1 << 17)]
)
def test_delivered_and_dropped_are_all_that_was_put(make: Make, capacity: int, most: int, room: int) -> None:
    ring, count = make(capacity), 3000
    producers = [ring.start("put", count, seed, most) for seed in (1, 2, 3)]
    found = collect(ring, producers, room)
    said = [tuple(map(int, producer.communicate()[0].split())) for producer in producers]
    assert len(found) == sum(put for put, _ in said)
    assert ring.memory.dropped == sum(dropped for _, dropped in said)
    assert len(found) + ring.memory.dropped == 3 * count
    requests = sum(each.number % 4 == 0 for each in found)
    assert requests + ring.memory.lost_spans == 3 * count // 4
    assert all(each.sound for each in found)
    assert in_order(found)
    assert ring.empty
    assert ring.is_zero()
    assert (ring.reader.abandoned, ring.reader.corrupt) == (0, 0)


def test_a_full_ring_drops_at_once_and_counts(make: Make) -> None:
    ring = make(SMALL)
    put, dropped = map(int, ring.do("put", 1000, 1, 300).split())
    assert put > 20
    assert dropped == ring.memory.dropped == 1000 - put
    assert len(split(ring.drain())) == put
    assert ring.do("put", 1, 1, 300) == "1 0\n"


def test_nothing_is_written_when_nobody_will_read(make: Make) -> None:
    ring = make()
    ring.memory.detach()
    assert ring.do("put", 10, 1, 300) == "0 10\n"
    assert ring.empty
    assert ring.memory.dropped == 0
    os.pwrite(ring.descriptor, bytes(4), contract.DETACHED)
    assert ring.do("put", 10, 1, 300) == "10 0\n"


@pytest.mark.parametrize(
    "killed",
    [("reserve", 64), ("reserve", 640), ("stamp", 64, 7), ("stamp", 4096, 5)],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_producer_killed_between_reserve_and_commit_stops_nobody(make: Make, killed: tuple[object, ...]) -> None:
    ring = make()
    ring.do("put", 5, 1, 100)
    ring.do(*killed)
    ring.do("put", 5, 1, 100)
    now = time.monotonic_ns()
    assert len(split(ring.drain(now=now, patience=1))) == 5
    assert ring.drain(now=now + SECOND // 100, patience=1) == b""
    assert len(split(ring.drain(now=now + 2 * SECOND, patience=1))) == 5
    assert (ring.reader.abandoned, ring.empty, ring.is_zero()) == (1, True, True)
    assert ring.reader.abandoned_requests == (killed[-1] == 5)


def test_a_dead_producers_slot_is_given_up_early(make: Make) -> None:
    ring = make()
    ring.do("stamp", 128, 7)
    now = time.monotonic_ns()
    assert ring.drain(now=now, patience=1) == b""
    assert not ring.empty
    ring.drain(now=now + SECOND // 10, patience=1)
    assert ring.empty


def test_several_that_never_stamped_are_passed_over_at_once(make: Make) -> None:
    ring = make()
    for _ in range(3):
        ring.do("reserve", 256)
    now = time.monotonic_ns()
    ring.drain(now=now, patience=1)
    ring.do("reserve", 64)  # reserved since: it has time of its own
    ring.drain(now=now + 2 * SECOND, patience=1)
    assert ring.fill == 64
    ring.drain(now=now + 4 * SECOND, patience=1)
    assert ring.empty
    assert ring.is_zero()


def test_a_padding_without_its_record_is_passed_over(make: Make) -> None:
    ring = make(SMALL)
    ring.do("put", 40, 1, 300)
    ring.drain(6000)
    assert ring.number(contract.TAIL) > SMALL // 4 + 64, "there is room beyond the end"
    while SMALL - ring.memory.head % SMALL > SMALL // 4:
        ring.do("put", 5, 1, 300)
    ring.do("pad")
    now = time.monotonic_ns()
    ring.drain(now=now, patience=1)
    ring.drain(now=now + 2 * SECOND, patience=1)
    assert ring.empty
    assert ring.do("put", 5, 1, 300) == "5 0\n"
    assert len(split(ring.drain())) == 5


def test_a_slow_producer_is_waited_for(make: Make) -> None:
    ring = make()
    slow = ring.start("stay", 128)
    assert slow.stdout is not None
    assert slow.stdout.read(1) == b"."
    ring.do("put", 3, 1, 100)
    now = time.monotonic_ns()
    assert ring.drain(now=now, patience=5) == b""
    assert ring.drain(now=now + 4 * SECOND, patience=5) == b""
    slow.communicate(b"!", timeout=30)
    assert ring.drain(now=now + 4 * SECOND, patience=5).count(b"\x30\x00\x00\x00\x07\x00") == 1
    assert ring.reader.abandoned == 0


def test_a_producer_that_was_too_slow_commits_nothing(make: Make) -> None:
    ring = make()
    slow = ring.start("stay", 128)
    assert slow.stdout is not None
    assert slow.stdout.read(1) == b"."
    now = time.monotonic_ns()
    ring.drain(now=now, patience=5)
    ring.drain(now=now + 6 * SECOND, patience=5)
    assert (ring.reader.abandoned, ring.empty) == (1, True)
    slow.communicate(b"!", timeout=30)
    assert ring.is_zero()
    assert ring.do("put", 3, 1, 100) == "3 0\n"
    assert len(split(ring.drain())) == 3


@pytest.mark.parametrize("size", [0, 47, 49, 1 << 31])
def test_what_is_no_record_is_left_out_and_counted(make: Make, size: int) -> None:
    ring = make()
    ring.do("put", 2, 1, 100)
    ring.do("raw", size)
    ring.do("put", 2, 1, 100)
    assert len(split(ring.drain())) == 4
    assert (ring.reader.corrupt, ring.reader.abandoned_requests) == (1, 1)


def test_memory_that_was_written_over_does_not_stop_the_ring(make: Make) -> None:
    """Any bytes at any place of the ring and of its positions: afterwards, records get through again."""
    chance = random.Random(7)
    end = time.monotonic() + FUZZ_SECONDS
    ring, now = make(SMALL), time.monotonic_ns()
    producer = ring.start("flood", 1, 200)
    assert producer.stdout is not None
    assert producer.stdout.read(1) == b"."
    while time.monotonic() < end:
        for _ in range(chance.randrange(1, 20)):
            place, size = contract.HEADER_SIZE + chance.randrange(SMALL - 64), chance.randrange(1, 64)
            if chance.random() < 0.1:
                place, size = chance.choice((contract.HEAD, contract.TAIL, contract.NEXT_TAIL)), chance.randrange(1, 9)
            os.pwrite(ring.descriptor, chance.randbytes(size), place)
        now += 2 * SECOND
        ring.drain(now=now, patience=1)
    producer.kill()
    producer.communicate()
    for _ in range(SMALL // 64):  # whatever is left
        now += 2 * SECOND
        ring.drain(now=now, patience=1)
    assert ring.empty
    os.pwrite(ring.descriptor, bytes(SMALL), contract.HEADER_SIZE)
    assert ring.do("put", 3, 1, 100) == "3 0\n"
    assert len(split(ring.drain())) == 3


def test_producers_killed_at_any_time_stop_nobody(make: Make) -> None:
    chance = random.Random(5)
    ring, end = make(1 << 16), time.monotonic() + FUZZ_SECONDS
    found: list[Delivered] = []
    steady = ring.start("put", 20000, 9, 300)
    while time.monotonic() < end:
        victim = ring.start("flood", chance.randrange(1000), 300)
        assert victim.stdout is not None
        assert victim.stdout.read(1) == b"."
        for _ in range(chance.randrange(1, 50)):
            found += split(ring.drain(8192))
        victim.kill()
        victim.communicate()
    found += collect(ring, [steady], 8192)
    put, _ = map(int, steady.communicate()[0].split())
    until(lambda: not found.extend(split(ring.drain(patience=0.1))) and ring.empty, lambda: "the ring is empty")
    assert sum(each.pid == steady.pid for each in found) == put
    assert all(each.sound for each in found)
    assert in_order(found)
    assert ring.is_zero()


CONSUMER = """
import os, sys
sys.path[:0] = [sys.argv[2]]
from rbinder import agent
from pathlib import Path
agent.reader = lambda: Path(sys.argv[3])
from ringed import Ring
ring = Ring.__new__(Ring)
from rbinder.agent import pump
from rbinder.agent.memory import SharedMemory
ring.memory, ring._library = SharedMemory(int(sys.argv[1])), pump.load()
ring.take_over()
while True:
    os.write(1, ring.drain(2048))
"""


def test_a_new_reader_goes_on_where_a_killed_one_was(make: Make, reader: Path) -> None:
    ring, chance, count = make(1 << 22), random.Random(3), 9000  # more than all can read, and their pipes hold
    put, dropped = map(int, ring.do("put", count, 4, 200).split())
    assert (put, dropped) == (count, 0)
    numbers: list[int] = []
    deaths = 0
    while not ring.empty and deaths < 8:
        words = [sys.executable, "-c", CONSUMER, str(ring.descriptor), str(Path(__file__).parent), str(reader)]
        consumer = subprocess.Popen(words, pass_fds=[ring.descriptor], stdout=subprocess.PIPE, cwd=ROOT)
        assert consumer.stdout is not None
        part = b""
        wanted = chance.randrange(2000, 60000)
        while len(part) < wanted and (piece := os.read(consumer.stdout.fileno(), 4096)):
            part += piece
        consumer.kill()
        part += consumer.stdout.read()
        consumer.wait()
        consumer.stdout.close()
        deaths += 1
        numbers += [each.number for each in split(part)]
    ring.take_over()
    while data := ring.drain(now=time.monotonic_ns(), patience=0):
        numbers += [each.number for each in split(data)]
    assert numbers == sorted(set(numbers)), "none comes twice, and all in their order"
    gaps = [after - before - 1 for before, after in itertools.pairwise(numbers) if after - before > 1]
    assert len(gaps) <= deaths
    assert sum(gaps) <= deaths * 2048 // 52
    assert (numbers[-1], ring.empty) == (count - 1, True)


# -- jumps


@pytest.fixture(scope="module")
def leaver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(["jump_driver.c"], tmp_path_factory.mktemp("jump") / "driver", ("-O1",))


def leave(ring: Ring, leaver: Path, when: str) -> tuple[list[Delivered], bool]:
    """A reader takes what it finds; and was it killed in a jump, before or after the head has moved?"""
    own, fds = {"RING": str(ring.descriptor)}, [ring.descriptor]
    done = subprocess.run([leaver, when], env=own, pass_fds=fds, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode in (-signal.SIGKILL, 3)
    return split(done.stdout), done.returncode != 3


def test_light_traffic_stays_in_the_rings_first_part(make: Make) -> None:
    ring, capacity = make(1 << 17), 1 << 17
    places, jumps = [], 0
    for seed in range(30):
        before = ring.number(contract.NEXT_TAIL)
        assert ring.do("put", 10, seed, 600) == "10 0\n"
        places.append(ring.memory.head % capacity)
        assert [each.number for each in split(ring.drain())] == list(range(10))
        assert (ring.empty, ring.is_zero()) == (True, True)
        jumps += ring.number(contract.NEXT_TAIL) > before
    assert max(places) < capacity // 16 + 10 * 1024, "a part, and one drain's records"
    assert jumps > 5
    assert ring.memory.dropped == 0


def test_a_ring_that_is_not_emptied_goes_round(make: Make) -> None:
    """Producers are quicker than the reader's jump: its head has moved on, and all goes on as without it."""
    ring, capacity, rounds = make(SMALL), SMALL, 0
    slow = ring.start("stay", 128)
    assert slow.stdout is not None
    assert slow.stdout.read(1) == b"."
    while ring.number(contract.HEAD) < capacity // 2:
        ring.do("put", 3, 1, 300)
        assert ring.drain() == b""
    assert ring.number(contract.NEXT_TAIL) == 0
    slow.communicate(b"!", timeout=30)
    while ring.number(contract.NEXT_TAIL) == 0:
        ring.drain()
        rounds += 1
    assert rounds == 1
    assert ring.empty


def test_there_is_no_jump_while_a_slow_producer_may_still_write(make: Make) -> None:
    ring = make(SMALL)
    ring.do("put", 10, 1, 300)
    ring.do("stamp", 128, 7)
    now = time.monotonic_ns()
    ring.drain(now=now, patience=1)
    ring.drain(now=now + 2 * SECOND, patience=1)
    assert (ring.reader.abandoned, ring.empty, ring.number(contract.NEXT_TAIL)) == (1, True, 0)
    given_up = ring.number(contract.TAIL)
    while ring.number(contract.HEAD) < given_up + SMALL - 2048:
        ring.do("put", 3, 1, 300)
        ring.drain()
        assert ring.number(contract.NEXT_TAIL) == 0
    for _ in range(10):
        ring.do("put", 3, 1, 300)
        ring.drain()
    assert ring.number(contract.NEXT_TAIL) > given_up + SMALL


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("first", ["producer", "reader"])
@pytest.mark.parametrize("used", [SMALL // 4, SMALL - 256])
def test_a_reader_killed_in_a_jump_leaves_a_sound_ring(
    make: Make, leaver: Path, when: str, first: str, used: int
) -> None:
    """Whoever comes first: producers find all of the ring free, and a new reader what they put there."""
    fresh, ring = make(SMALL), make(SMALL)
    ring.do("put", used // 128, 1, 4)
    assert ring.memory.head == used
    _, killed = leave(ring, leaver, when)
    assert killed
    jumped = when == "after"
    assert ring.number(contract.NEXT_TAIL) == 2 * SMALL
    assert ring.number(contract.TAIL) < SMALL
    assert (ring.number(contract.HEAD) == 2 * SMALL) == jumped
    ring.take_over()
    if first == "reader":
        assert ring.drain() == b""
        assert ring.number(contract.TAIL) == ring.number(contract.HEAD)
        assert ring.number(contract.NEXT_TAIL) == 2 * SMALL, "brought to its end, or done again"
        jumped = True
    put, dropped = map(int, ring.do("put", 1000, 1, 300).split())
    assert put + dropped == 1000
    if jumped:
        assert put == int(fresh.do("put", 1000, 1, 300).split()[0]), "as many as a new ring takes"
    found = split(ring.drain())
    assert put == len(found) > 20
    assert all(each.sound for each in found)
    assert in_order(found)
    assert (ring.empty, ring.is_zero()) == (True, True)
    assert (ring.reader.abandoned, ring.reader.corrupt) == (0, 0)
    assert ring.do("put", 10, 1, 300) == "10 0\n"
    assert len(split(ring.drain())) == 10


def test_readers_killed_in_their_jumps_lose_nothing_of_producers_that_go_on(make: Make, leaver: Path) -> None:
    ring, count, chance = make(SMALL), 4000, random.Random(11)
    producers = [ring.start("calm", count, seed, 300) for seed in (1, 2)]
    found: list[Delivered] = []
    deaths = 0
    while any(producer.poll() is None for producer in producers):
        taken, killed = leave(ring, leaver, chance.choice(("before", "after")))
        ring.take_over()
        deaths += killed
        found += taken
        for _ in range(chance.randrange(20)):
            found += split(ring.drain(4096))
    while data := ring.drain():
        found += split(data)
    said = [tuple(map(int, producer.communicate()[0].split())) for producer in producers]
    assert ring.memory.dropped == sum(dropped for _, dropped in said)
    assert len(found) == sum(put for put, _ in said) == 2 * count - ring.memory.dropped
    assert all(each.sound for each in found)
    assert in_order(found)
    assert deaths > 0
    assert (ring.empty, ring.is_zero()) == (True, True)
    assert (ring.reader.abandoned, ring.reader.corrupt) == (0, 0)


SLEEPER = """
import ctypes, mmap, sys
library, memory = ctypes.CDLL(sys.argv[1]), mmap.mmap(int(sys.argv[2]), 0)
library.reader_wait.argtypes = [ctypes.c_void_p, ctypes.c_long]
library.reader_wait(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 60000)
"""


def test_a_sleeping_reader_is_woken_at_half(make: Make, reader: Path) -> None:
    ring = make(1 << 18)
    command = [sys.executable, "-c", SLEEPER, str(reader), str(ring.descriptor)]
    sleeper = subprocess.Popen(command, pass_fds=[ring.descriptor])
    until(lambda: os.pread(ring.descriptor, 4, contract.SLEEPING) == b"\1\0\0\0", lambda: "it sleeps")
    ring.do("put", 10, 1, 300)
    assert ring.fill < 1 << 17
    assert sleeper.poll() is None
    ring.do("put", 2000, 1, 300)
    assert sleeper.wait(timeout=30) == 0


# -- the inbox


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def take_all(inbox: RingInbox) -> bytes:
    pieces = []
    while not inbox.exhausted:
        pieces.append(inbox.take(1.0))
    return b"".join(pieces)


def test_the_inbox_gives_whole_records_of_ring_and_pipe(make: Make, pipe: tuple[int, int]) -> None:
    ring, (reading, writing) = make(), pipe
    inbox = RingInbox(reading, ring.memory)
    inbox.start()
    note = Record(Kind.NOTE, 1, 2, 3, payload=Note("so" * 500)).pack()
    os.write(writing, note[:100])
    ring.do("put", 1000, 1, 300)
    os.write(writing, note[100:] + note)
    assert os.close(writing) is None
    pieces = []
    while not inbox.exhausted:
        pieces.append(inbox.take(1.0))
    assert all(whole(piece) == len(piece) for piece in pieces)
    data = b"".join(pieces)
    assert data.count(note) == 2
    assert len(split(data.replace(note, b""))) == 1000
    assert inbox.take(None) == b""
    assert ring.do("put", 1, 1, 300) == "0 1\n", "nobody takes records any more"


def test_the_inbox_is_bounded_and_goes_on_in_its_order(make: Make, pipe: tuple[int, int]) -> None:
    ring, (reading, writing) = make(), pipe
    inbox = RingInbox(reading, ring.memory, limit=pump.SPOOL_LEAST)
    inbox.start()
    found: list[Delivered] = []
    put = 0
    while ring.memory.dropped == 0:
        put += int(ring.do("put", 2000, 1, 5000).split()[0])
    assert put * 5000 > pump.SPOOL_LEAST / 2
    while len(found) < put:
        found += split(inbox.take(1.0))
    for _ in range(9):  # once around, with little in it, but never empty
        put += int(ring.do("put", 300, 1, 5000).split()[0])
        while len(found) < put - 2 * PIECE // 5000:
            found += split(inbox.take(1.0))
    os.close(writing)
    found += split(take_all(inbox))
    assert len(found) == put
    assert all(each.sound for each in found)
    assert in_order(found)


def test_an_inbox_that_was_emptied_goes_on_at_its_memory_s_beginning(make: Make, pipe: tuple[int, int]) -> None:
    ring, (reading, writing) = make(), pipe
    inbox = RingInbox(reading, ring.memory, limit=pump.SPOOL_LEAST)
    places: list[int] = []

    def through(address: int, size: int) -> tuple[int, bytes]:
        places.append(address)
        return unchanged(address, size)

    inbox.through = through
    inbox.start()
    found: list[Delivered] = []
    for number in range(1, 31):  # three times as much as it holds
        ring.do("put", 10, 1, 5000)
        ring.do("put", 170, 1, 5000)
        while len(found) < 180 * number:
            found += split(inbox.take(1.0))
        assert not inbox.is_past(Mark(ring.memory.head + 1))
    assert max(places) - min(places) < pump.SPOOL_LEAST // 2
    os.close(writing)
    assert take_all(inbox) == b""
    assert all(each.sound for each in found)
    assert in_order(found)


def test_the_inbox_waits_no_longer_than_asked(make: Make, pipe: tuple[int, int]) -> None:
    ring, (reading, writing) = make(), pipe
    inbox = RingInbox(reading, ring.memory)
    inbox.start()
    assert inbox.take(0.01) == b""
    assert inbox.take(0) == b""
    os.close(writing)
    assert inbox.take(None) == b""
    assert inbox.exhausted


def test_a_mark_is_past_when_all_before_it_was_taken(make: Make, pipe: tuple[int, int]) -> None:
    ring, (reading, writing) = make(), pipe
    inbox = RingInbox(reading, ring.memory)
    ring.do("put", 10, 1, 100)
    mark = inbox.mark()
    assert isinstance(mark, Mark)
    assert not inbox.is_past(mark)
    inbox.start()
    taken = 0
    while taken < 10:
        assert not inbox.is_past(mark)
        taken += len(split(inbox.take(1.0)))
    until(lambda: inbox.is_past(mark), lambda: "the mark is past")
    os.close(writing)
    take_all(inbox)


def test_an_idle_inbox_costs_nearly_nothing(make: Make, pipe: tuple[int, int]) -> None:
    """Voluntary context switches of the pump's thread in a second: about one a nap."""
    ring, (reading, writing) = make(), pipe
    before = {int(task) for task in os.listdir("/proc/self/task")}
    inbox = RingInbox(reading, ring.memory)
    inbox.start()
    (pumping, *_) = sorted({int(task) for task in os.listdir("/proc/self/task")} - before)

    def switches() -> int:
        status = Path(f"/proc/self/task/{pumping}/status").read_text()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    first = switches()
    assert inbox.take(1.0) == b""
    assert switches() - first <= 25
    os.close(writing)
    take_all(inbox)


def test_threads_in_one_process_race_soundly(tmp_path: Path) -> None:
    """Thread sanitizer over producers, the pump and a taker."""
    flags = ("-g", "-O1", "-fsanitize=thread")
    race = build(["ring_race.c", "ring.c", "reader.c", "pump.c"], tmp_path / "race", flags, "clang")
    seconds = str(max(1, int(FUZZ_SECONDS)))
    done = subprocess.run([race, seconds], capture_output=True, text=True, timeout=60 + 10 * FUZZ_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
