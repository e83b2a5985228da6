"""The contract between the agent and the collector, as src/contract.h has it: the shared memory's header. No I/O.

A test holds every number here against the header file. Records themselves are `rbinder.records`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rbinder.records import VERSION as RECORD_VERSION

MAGIC = int.from_bytes(b"RBINDER1", "little")
VERSION = 1
HEADER_SIZE = 65536  # bytes before the ring's data
CAPACITY = 1 << 22  # bytes of ring data
OPEN_REQUESTS = 4096
SLOT_ALIGN = 64
SLOT_MAGIC = 0x9E3779B97F4A7C15
MAX_RECORD = 1 << 18  # bytes of a record in the ring
MADE_UP = 1 << 31  # pids from here on: of processes in other PID namespaces, whose ids may be others' too

W3C, BAGGAGE, B3_SINGLE, B3_MULTI = 1, 2, 4, 8  # propagators
SAMPLE_ALL, PARENT_BASED = 1, 2  # sampler

# offsets in the header
REFUSED = 16
TOKEN = 24
CAPACITY_AT = 64
HEAD = 128
TAIL = 192
SLEEPING = 200
DETACHED = 204
NEXT_TAIL = 208
REQUESTS = 216
DELIVERED = 224
DROPPED = 256
DROPPED_REQUESTS = 264
PASSED = 272
UNTRACED = 280
OPEN = 320

SLOT = struct.Struct("<QIIII")  # stamp, length, pid, state, size
SLOT_FREE, SLOT_COMMITTED, SLOT_PADDING = 0, 1, 2

_FIXED = struct.Struct("<QIIII16s24x")  # magic, version, size, refused, -, token
# capacity, propagators, sampler, sampler_bound, record_version, verbosity, pid_namespace, runtime_hooks
_SETTINGS = struct.Struct("<QIIQIIQI")
_LONGEST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agents are told. Trace ids whose low 64 bits are below `sampler_bound` are sampled (1 << 64: all)."""

    token: bytes  # 16 bytes
    propagators: int
    sampler_bound: int
    parent_based: bool
    verbosity: int = 0
    capacity: int = CAPACITY
    pid_namespace: int = 0  # inode of the collector's; 0: not known
    runtime_hooks: bool = True  # agents ask language runtimes which task is running

    @property
    def size(self) -> int:
        """Bytes of the whole shared memory."""
        return HEADER_SIZE + self.capacity


class Mismatch(ValueError):
    """The shared memory isn't what this version makes."""


def initial(settings: Settings) -> bytes:
    """The first bytes of the shared memory; zeros follow."""
    if settings.capacity < 4096 or settings.capacity & (settings.capacity - 1):
        raise ValueError("the ring's capacity is a power of two")
    fixed = _FIXED.pack(MAGIC, VERSION, settings.size, 0, 0, settings.token)
    sampler = (SAMPLE_ALL if settings.sampler_bound > _LONGEST else 0) | (PARENT_BASED if settings.parent_based else 0)
    bound = min(settings.sampler_bound, _LONGEST)
    verbosity = max(0, settings.verbosity)
    return fixed + _SETTINGS.pack(
        settings.capacity,
        settings.propagators,
        sampler,
        bound,
        RECORD_VERSION,
        verbosity,
        settings.pid_namespace,
        settings.runtime_hooks,
    )


def parse(header: bytes | memoryview) -> Settings:
    """The settings in a header. Raises Mismatch for another version's."""
    magic, version, size, _, _, token = _FIXED.unpack_from(header)
    if magic != MAGIC or version != VERSION:
        raise Mismatch(f"the shared memory is of version {version}: expected version {VERSION}")
    settings = _SETTINGS.unpack_from(header, CAPACITY_AT)
    capacity, propagators, sampler, bound, record_version, verbosity, pid_namespace, hooks = settings
    if record_version != RECORD_VERSION or size != HEADER_SIZE + capacity or capacity & (capacity - 1):
        raise Mismatch("the shared memory's settings contradict each other")
    bound = bound + 1 if sampler & SAMPLE_ALL else bound
    parent_based = bool(sampler & PARENT_BASED)
    return Settings(token, propagators, bound, parent_based, verbosity, capacity, pid_namespace, bool(hooks))
