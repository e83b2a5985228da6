"""The C header and its Python twins say the same."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from pathlib import Path

import pytest
from native import build

from rbinder import records
from rbinder.agent import contract, pump, stencils

# names in contract.h, and what Python says
NUMBERS = {
    "SHARED_MAGIC": contract.MAGIC,
    "SHARED_VERSION": contract.VERSION,
    "RECORD_VERSION": records.VERSION,
    "SHARED_HEADER": contract.HEADER_SIZE,
    "OPEN_REQUESTS": contract.OPEN_REQUESTS,
    "SLOT_ALIGN": contract.SLOT_ALIGN,
    "SLOT_MAGIC": contract.SLOT_MAGIC,
    "HEAD_LIMIT": records.HEAD_LIMIT,
    "MAX_RECORD": contract.MAX_RECORD,
    "SPOOL_LEAST": pump.SPOOL_LEAST,
    "MADE_UP": contract.MADE_UP,
    "W3C": contract.W3C,
    "BAGGAGE": contract.BAGGAGE,
    "B3_SINGLE": contract.B3_SINGLE,
    "B3_MULTI": contract.B3_MULTI,
    "SAMPLE_ALL": contract.SAMPLE_ALL,
    "PARENT_BASED": contract.PARENT_BASED,
    "SLOT_FREE": contract.SLOT_FREE,
    "SLOT_COMMITTED": contract.SLOT_COMMITTED,
    "SLOT_PADDING": contract.SLOT_PADDING,
    "SEGMENTS": stencils.SEGMENTS,
    "STENCIL_TEXT": stencils.LONGEST,
    "PIECE_LITERAL": stencils.LITERAL,
    "PIECE_PATH": stencils.PATH,
    "PIECE_QUERY": stencils.QUERY,
    "PIECE_TARGET": stencils.TARGET,
    "SERVER": records.Side.SERVER,
    "CLIENT": records.Side.CLIENT,
    "shared.refused": contract.REFUSED,
    "shared.token": contract.TOKEN,
    "shared.capacity": contract.CAPACITY_AT,
    "shared.head": contract.HEAD,
    "shared.tail": contract.TAIL,
    "shared.sleeping": contract.SLEEPING,
    "shared.detached": contract.DETACHED,
    "shared.next_tail": contract.NEXT_TAIL,
    "shared.requests": contract.REQUESTS,
    "shared.delivered": contract.DELIVERED,
    "shared.dropped": contract.DROPPED,
    "shared.dropped_requests": contract.DROPPED_REQUESTS,
    "shared.passed": contract.PASSED,
    "shared.untraced": contract.UNTRACED,
    "shared.open": contract.OPEN,
    "record": records.HEADER.size,
    "slot": contract.SLOT.size,
    "connection_payload": records._CONNECTION.size,
    "request_payload": records._REQUEST.size,
    "end_payload": len(records.MessageEnd(records.Side.SERVER, True, 1).pack()),
}
NUMBERS |= {kind.name: int(kind) for kind in records.Kind}

# structures of which Python packs every field, in their order
FIELDS = {
    "record": (records.HEADER.format, "size kind version time pid tid connection exchange reserved"),
    "slot": (contract.SLOT.format, "stamp length pid state size"),
    "connection_payload": (
        records._CONNECTION.format,
        "side peer_port local_port connect_start connect_end lookup_start lookup_end error",
    ),
    "request_payload": (records._REQUEST.format, "side trace_id parent_id flags started state_size"),
    "end_payload": ("<BBQ", "side is_response body_size"),
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    driver = build(["ring_driver.c"], tmp_path_factory.mktemp("layout") / "driver", ("-O1",))
    told = subprocess.run([driver, "layout"], capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in (line.split() for line in told.splitlines())}


def offsets(layout: str, names: str) -> dict[str, int]:
    """Of the fields of a structure without padding."""
    found, at = {}, 0
    for name, code in zip(names.split(), re.findall(r"\d*[a-zA-Z]", layout), strict=True):
        found[name] = at
        at += struct.calcsize("<" + code)
    return found


def test_the_numbers_agree(layout: dict[str, int]) -> None:
    assert {name: layout[name] for name in NUMBERS} == NUMBERS


@pytest.mark.parametrize("name", FIELDS)
def test_the_fields_agree(layout: dict[str, int], name: str) -> None:
    expected = offsets(*FIELDS[name])
    assert {field: layout[f"{name}.{field}"] for field in expected} == expected


TWINS = {"reader": pump.Reader, "pump": pump.Pump, "segment": stencils.Segment, "weave": stencils.Weave}


@pytest.mark.parametrize("name", TWINS)
def test_the_collectors_structures_agree(layout: dict[str, int], name: str) -> None:
    twin = TWINS[name]
    assert layout[name] == ctypes.sizeof(twin)
    for field, *_ in twin._fields_:
        if field != "reserved":
            assert layout[f"{name}.{field}"] == getattr(twin, field).offset, field


def test_the_header_holds_the_settings(layout: dict[str, int]) -> None:
    settings = contract.Settings(
        bytes(range(16)),
        contract.W3C | contract.B3_MULTI,
        12345,
        True,
        1,
        pid_namespace=1 << 32 | 5,
        runtime_hooks=False,
    )
    header = contract.initial(settings)
    assert contract.parse(header + bytes(contract.OPEN)) == settings
    for name, value, size in (
        ("magic", contract.MAGIC, 8),
        ("version", contract.VERSION, 4),
        ("size", settings.size, 4),
        ("capacity", settings.capacity, 8),
        ("propagators", 9, 4),
        ("sampler", contract.PARENT_BASED, 4),
        ("sampler_bound", 12345, 8),
        ("record_version", records.VERSION, 4),
        ("verbosity", 1, 4),
        ("pid_namespace", 1 << 32 | 5, 8),
        ("runtime_hooks", 0, 4),
    ):
        at = layout[f"shared.{name}"]
        assert int.from_bytes(header[at : at + size], "little") == value, name
    assert header[layout["shared.token"] :][:16] == settings.token
    asking = contract.initial(contract.Settings(bytes(16), 0, 0, False))
    assert asking[layout["shared.runtime_hooks"]] == 1


def test_all_sampled_is_a_flag() -> None:
    settings = contract.Settings(bytes(16), 0, 1 << 64, False)
    assert contract.parse(contract.initial(settings)) == settings


def test_another_version_is_told() -> None:
    header = bytearray(contract.initial(contract.Settings(bytes(16), 0, 0, False)))
    header[8] += 1
    with pytest.raises(contract.Mismatch, match="version 2"):
        contract.parse(bytes(header))


def test_aarch64_has_the_same_layout(tmp_path: Path, layout: dict[str, int]) -> None:
    flags = ("-O1", "-static")
    driver = build(["ring_driver.c"], tmp_path / "driver", flags, "aarch64-linux-gnu-gcc")
    told = subprocess.run(["qemu-aarch64", driver, "layout"], capture_output=True, text=True, check=True).stdout
    assert {name: int(number) for name, number in (line.split() for line in told.splitlines())} == layout
