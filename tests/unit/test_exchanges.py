"""Exchanges: each ends exactly once, whatever happens to its connection, its process or the records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from traffic import GET, OK, PID, TRACE, Traffic, number

from rbinder.exchanges import Exchange, Exchanges
from rbinder.records import ConnectionInfo, Kind, Lost, Note, Record, Side

ONE, TWO = number(1), number(2)


def feed(exchanges: Exchanges, *records: Record) -> list[Exchange]:
    return [exchange for record in records for exchange in exchanges.feed(record)]


def test_a_request_and_its_response() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    feed(exchanges, traffic.process(), traffic.connection(1))
    request = traffic.request(ONE)
    assert feed(exchanges, request) == []
    assert (exchanges.open, exchanges.open_in_trace(TRACE)) == (1, 1)
    end = traffic.end(ONE)
    (exchange,) = feed(exchanges, traffic.response(ONE), traffic.end(ONE, response=False), end)
    assert (exchanges.open, exchanges.open_in_trace(TRACE)) == (0, 0)
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.method, exchange.request.target) == ("GET", "/cart/7?id=3")
    assert (exchange.response.status, exchange.error_type) == (200, "")
    assert (exchange.span_id, exchange.trace_id, exchange.side) == (ONE, TRACE, Side.SERVER)
    assert (exchange.started, exchange.ended) == (request.payload.started, end.time)  # type: ignore[union-attr]
    assert (exchange.pid, exchange.process.info.executable) == (PID, "/usr/bin/python3.11")
    assert exchange.connection is not None
    assert exchange.connection.peer_address == "192.0.2.7"


def test_only_the_first_exchange_made_its_connection() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    ended = feed(exchanges, traffic.connection(1), *traffic.whole(ONE), *traffic.whole(TWO))
    assert [exchange.first_on_connection for exchange in ended] == [True, False]


def test_pipelined_requests_end_on_their_own() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    first, second = traffic.whole(ONE), traffic.whole(TWO)
    ended = feed(exchanges, first[0], second[0], *first[1:], *second[1:])
    assert [exchange.span_id for exchange in ended] == [ONE, TWO]


def test_a_failure_the_engine_tells() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    request = traffic.request(ONE, side=Side.CLIENT)
    (exchange,) = feed(exchanges, request, traffic.response(ONE), traffic.failed(ONE, "connection_reset"))
    assert exchange.error_type == "connection_reset"
    assert exchange.response is not None


def test_a_connection_that_could_not_be_made() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    info = ConnectionInfo(Side.CLIENT, "192.0.2.9", 80, error=111)
    for records in (
        [traffic.connection(1, info, ONE), traffic.request(ONE, b"", side=Side.CLIENT)],
        [traffic.request(TWO, b"", 0, Side.CLIENT), traffic.connection(2, info, TWO)],
    ):
        (exchange,) = feed(exchanges, *records, traffic.failed(records[0].exchange, "ECONNREFUSED"))
        assert (exchange.request, exchange.error_type) == (None, "ECONNREFUSED")
        assert (exchange.connection, exchange.first_on_connection) == (info, True)


def test_a_connection_closed_before_the_response() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    feed(exchanges, traffic.connection(1), traffic.connection(2), traffic.request(ONE), traffic.request(TWO, GET, 2))
    (exchange,) = feed(exchanges, traffic.closed(1))
    assert (exchange.span_id, exchange.error_type) == (ONE, "connection_closed")
    assert exchanges.open == 1


def test_a_connection_closed_after_the_response() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    (exchange,) = feed(exchanges, traffic.connection(1), *traffic.whole(ONE), traffic.closed(1))
    assert exchange.error_type == ""


def test_a_process_that_ends_takes_its_exchanges_with_it() -> None:
    traffic, other, exchanges = Traffic(), Traffic(pid=PID + 1), Exchanges()
    feed(exchanges, traffic.process(), traffic.request(ONE), other.request(TWO))
    (exchange,) = feed(exchanges, traffic.exited())
    assert (exchange.span_id, exchange.error_type) == (ONE, "process_exit")
    assert exchange.process.info.executable


def test_the_end_of_the_stream_ends_everything() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    feed(exchanges, traffic.request(ONE), traffic.request(TWO))
    assert [exchange.error_type for exchange in exchanges.close(10**18)] == ["process_exit"] * 2
    assert exchanges.close(10**18) == []


def test_too_many_open_exchanges_end_the_oldest() -> None:
    traffic, exchanges = Traffic(), Exchanges(limit=3)
    ended = feed(exchanges, *(traffic.request(number(i)) for i in range(1, 6)))
    assert [(exchange.span_id, exchange.error_type) for exchange in ended] == [(ONE, "_OTHER"), (TWO, "_OTHER")]
    assert (exchanges.open, exchanges.open_in_trace(TRACE)) == (3, 3)


def test_records_without_their_request_are_ignored() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    assert feed(exchanges, traffic.response(ONE), traffic.end(ONE), traffic.failed(ONE, "x"), traffic.closed(9)) == []


def test_an_end_that_lost_its_head() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    (exchange,) = feed(exchanges, traffic.request(ONE), traffic.end(ONE))
    assert (exchange.response, exchange.error_type) == (None, "")


def test_children_inherit_what_their_parent_is() -> None:
    traffic, child, exchanges = Traffic(), Traffic(pid=77), Exchanges()
    ended = feed(exchanges, traffic.process(), *traffic.whole(ONE), traffic.forked(77), *child.whole(TWO))
    assert ended[1].process.info.arguments == ended[0].process.info.arguments
    assert ended[1].process.info.parent_pid == PID
    assert ended[1].process.identity != ended[0].process.identity


def test_an_exec_is_another_process() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    ended = feed(exchanges, traffic.process("/bin/a"), *traffic.whole(ONE), traffic.process("/bin/b"))
    ended += feed(exchanges, *traffic.whole(TWO))
    assert [exchange.process.info.executable for exchange in ended] == ["/bin/a", "/bin/b"]


def test_losses_are_counted_and_notes_ignored() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    feed(exchanges, traffic.record(Kind.LOST, Lost(3)), traffic.record(Kind.LOST, Lost(4)))
    feed(exchanges, traffic.record(Kind.NOTE, Note("so")))
    assert exchanges.lost == 7


def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    feed(exchanges, traffic.request(ONE))
    end = traffic.end(ONE)
    end.time = 5
    (exchange,) = feed(exchanges, end)
    assert exchange.ended == exchange.started


STEPS = st.sampled_from(
    ["request", "response", "end", "failed", "closed", "exited", "connection", "process"],
)


@given(st.lists(st.tuples(STEPS, st.integers(1, 4), st.integers(1, 3)), max_size=60))
def test_every_exchange_ends_once_in_any_order(steps: list[tuple[str, int, int]]) -> None:
    exchanges, started, ended = Exchanges(limit=3), 0, 0
    programs = {pid: Traffic(pid=pid) for pid in (1, 2, 3)}
    for step, key, place in steps:
        traffic, key_bytes = programs[place], number(key)
        before = exchanges.open
        record = {
            "request": lambda: traffic.request(key_bytes, connection=place),  # noqa: B023
            "response": lambda: traffic.response(key_bytes, OK),  # noqa: B023
            "end": lambda: traffic.end(key_bytes),  # noqa: B023
            "failed": lambda: traffic.failed(key_bytes, "x"),  # noqa: B023
            "closed": lambda: traffic.closed(place),  # noqa: B023
            "exited": lambda: traffic.exited(),  # noqa: B023
            "connection": lambda: traffic.connection(place),  # noqa: B023
            "process": lambda: traffic.process(),  # noqa: B023
        }[step]()
        done = len(exchanges.feed(record))
        ended += done
        started += exchanges.open - before + done
    ended += len(exchanges.close(0))
    assert (ended, exchanges.open, exchanges.open_in_trace(TRACE)) == (started, 0, 0)


def test_a_response_ends_those_before_it_whose_end_was_lost() -> None:
    traffic, exchanges = Traffic(), Exchanges()
    lost, unanswered = traffic.request(number(1)), traffic.request(number(2))
    records = [lost, traffic.response(number(1)), unanswered, traffic.request(number(3)), traffic.response(number(3))]
    ended = [exchange for record in records for exchange in exchanges.feed(record)]
    assert [(each.span_id, each.error_type) for each in ended] == [(number(1), ""), (number(2), "_OTHER")]
    assert exchanges.feed(traffic.end(number(3)))[0].span_id == number(3)
    assert exchanges.open == 0
