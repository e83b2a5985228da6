"""The record format: what is packed comes back, cut anywhere, and what is no record is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinder.records import (
    HEADER,
    MAX_RECORD,
    VERSION,
    ConnectFailed,
    ConnectionInfo,
    CorruptStream,
    Decoder,
    Empty,
    ExchangeFailed,
    Kind,
    Lost,
    MessageEnd,
    Note,
    Payload,
    ProcessExit,
    ProcessInfo,
    Record,
    RequestHead,
    ResponseHead,
    Side,
)

IDS = st.binary(min_size=8, max_size=8)
SIDES = st.sampled_from(Side)
TIMES = st.integers(0, 2**63)
PORTS = st.integers(0, 65535)
# Paths are bytes: what isn't UTF-8 is a surrogate escape in Python.
PATHS = st.binary(max_size=60).map(lambda path: path.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
ADDRESSES = PATHS

REQUESTS = st.builds(
    RequestHead,
    SIDES,
    st.binary(min_size=16, max_size=16),
    IDS,
    st.booleans(),
    st.integers(0, 255),
    TIMES,
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=512),
    st.binary(max_size=2000),
)

PAYLOADS: list[tuple[Kind, st.SearchStrategy[Payload]]] = [
    (Kind.PROCESS, st.builds(ProcessInfo, st.integers(0, 2**22), st.booleans(), PATHS, st.lists(PATHS), PATHS, PATHS)),
    (Kind.PROCESS_EXIT, st.builds(ProcessExit, st.integers(-(2**31), 2**31 - 1))),
    (
        Kind.CONNECTION,
        st.builds(
            ConnectionInfo, SIDES, ADDRESSES, PORTS, ADDRESSES, PORTS, TIMES, TIMES, TIMES, TIMES, st.integers(0, 200)
        ),
    ),
    (Kind.CONNECTION_CLOSED, st.just(Empty())),
    (Kind.REQUEST_HEAD, REQUESTS),
    (Kind.RESPONSE_HEAD, st.builds(ResponseHead, SIDES, st.binary(max_size=2000))),
    (Kind.MESSAGE_END, st.builds(MessageEnd, SIDES, st.booleans(), TIMES)),
    (Kind.EXCHANGE_FAILED, st.builds(ExchangeFailed, SIDES, st.text(st.characters(max_codepoint=126)))),
    (Kind.LOST, st.builds(Lost, TIMES)),
    (Kind.NOTE, st.builds(Note, PATHS)),
    (Kind.FLUSH, st.just(Empty())),
    (Kind.CONNECT_FAILED, st.builds(ConnectFailed, st.text(st.characters(max_codepoint=126), max_size=200), REQUESTS)),
    (Kind.CONNECT_RETRACTED, st.just(Empty())),
]
RECORDS = st.one_of(
    [st.builds(Record, st.just(kind), TIMES, PORTS, PORTS, TIMES, IDS, payload) for kind, payload in PAYLOADS]
)


@given(st.lists(RECORDS, max_size=8), st.integers(1, 400))
def test_what_is_packed_comes_back_cut_anywhere(records: list[Record], step: int) -> None:
    stream = b"".join(record.pack() for record in records)
    decoder = Decoder()
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert [record for piece in pieces for record in decoder.feed(piece)] == records


def test_every_kind_is_tried() -> None:
    assert {kind for kind, _ in PAYLOADS} == set(Kind)


def test_a_part_of_a_record_is_nothing_yet() -> None:
    packed = Record(Kind.NOTE, 1, 2, 3, payload=Note("so")).pack()
    decoder = Decoder()
    assert list(decoder.feed(packed[:-1])) == []
    (record,) = decoder.feed(packed[-1:])
    assert record.payload == Note("so")


def test_an_unknown_kind_is_skipped() -> None:
    known = Record(Kind.LOST, 1, 2, 3, payload=Lost(4))
    unknown = HEADER.pack(HEADER.size + 3, 999, VERSION, 0, 0, 0, 0, bytes(8), 0) + b"new"
    assert list(Decoder().feed(unknown + known.pack())) == [known]


@pytest.mark.parametrize(
    ("size", "version"),
    [(HEADER.size - 1, VERSION), (0, VERSION), (MAX_RECORD + 1, VERSION), (HEADER.size, VERSION + 1)],
)
def test_what_is_no_record_is_refused(size: int, version: int) -> None:
    header = HEADER.pack(size, Kind.FLUSH, version, 0, 0, 0, 0, bytes(8), 0)
    with pytest.raises(CorruptStream):
        list(Decoder().feed(header))


def test_the_header_is_as_documented() -> None:
    packed = Record(Kind.FLUSH, time=5, pid=6, tid=7, connection=8, exchange=b"exchange").pack()
    assert packed == struct.pack("<IHHQIIQ8sQ", 48, 11, 1, 5, 6, 7, 8, b"exchange", 0)


def test_a_framed_record_that_cannot_be_read_is_left_out() -> None:
    known = Record(Kind.LOST, 1, 2, 3, payload=Lost(4)).pack()
    bad = [HEADER.pack(HEADER.size + 1, kind, VERSION, 0, 0, 0, 0, bytes(8), 0) + b"\xff" for kind in range(1, 12)]
    decoder = Decoder(framed=True)
    found = list(decoder.feed(b"".join(known + each for each in bad) + known))
    assert [record for record in found if record.kind is Kind.LOST] == [next(Decoder().feed(known))] * 12
    assert decoder.unreadable_requests == 1
