"""The consumer's half of the ring, a C library (src/reader.c and src/pump.c), as Python sees it."""

from __future__ import annotations

import ctypes
import functools
import os

from rbinder import agent
from rbinder.agent.contract import MAX_RECORD


class Reader(ctypes.Structure):
    """src/ring.h: struct reader."""

    shared: int
    stuck_at: int
    stuck_since: int
    stuck_head: int
    abandoned: int
    corrupt: int
    abandoned_requests: int
    jumps_from: int
    _fields_ = (
        ("shared", ctypes.c_void_p),
        ("stuck_at", ctypes.c_uint64),
        ("stuck_since", ctypes.c_uint64),
        ("stuck_head", ctypes.c_uint64),
        ("abandoned", ctypes.c_uint64),
        ("corrupt", ctypes.c_uint64),
        ("abandoned_requests", ctypes.c_uint64),
        ("jumps_from", ctypes.c_uint64),
    )


class Pump(ctypes.Structure):
    """src/ring.h: struct pump."""

    reader: Reader
    data: int
    size: int
    written: int
    passed: int
    left_at: int
    taken: int
    _fields_ = (
        ("reader", Reader),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("written", ctypes.c_uint64),
        ("passed", ctypes.c_uint64),
        ("left_at", ctypes.c_uint64),
        ("taken", ctypes.c_uint64),
        ("taker_sleeps", ctypes.c_uint32),
        ("kicked", ctypes.c_uint32),
        ("ending", ctypes.c_uint32),
        ("patience", ctypes.c_uint64),
        ("shortest", ctypes.c_uint32),
        ("longest", ctypes.c_uint32),
        ("gather", ctypes.c_uint32),
        ("since", ctypes.c_uint64),
    )


SPOOL_SLACK = MAX_RECORD  # bytes behind the spool's size, for a record that runs over its end
SPOOL_LEAST = 8 << 20  # bytes


@functools.cache
def load() -> ctypes.CDLL:
    """The library. Raises OSError where it isn't built or can't be loaded."""
    path = agent.reader()
    if path is None:
        raise FileNotFoundError("the ring's reader has not been built")
    library = ctypes.CDLL(os.fspath(path))
    pump, reader = ctypes.POINTER(Pump), ctypes.POINTER(Reader)
    signatures: dict[str, tuple[object, ...]] = {
        "reader_drain": (ctypes.c_long, reader, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64),
        "reader_wait": (None, ctypes.c_void_p, ctypes.c_long),
        "reader_wake": (None, ctypes.c_void_p),
        "reader_empty": (ctypes.c_bool, ctypes.c_void_p),
        "pump_run": (None, pump),
        "pump_end": (None, pump),
        "pump_available": (ctypes.c_uint64, pump, ctypes.c_uint64, ctypes.c_long),
        "pump_took": (None, pump, ctypes.c_uint64),
        "pump_kick": (None, pump),
    }
    declare(library, signatures)
    return library


def declare(library: ctypes.CDLL, signatures: dict[str, tuple[object, ...]]) -> None:
    """Tell what the library's functions return and take."""
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
