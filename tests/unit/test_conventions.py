"""What a span says of an exchange: the attributes of both sides, its name, whether it failed."""

from __future__ import annotations

from typing import Any

import pytest
from made import exchange
from traffic import GET, OK

from rbinder.conventions import Description, describe
from rbinder.records import ConnectionInfo, Side

OUTBOUND = ConnectionInfo(Side.CLIENT, "192.0.2.9", 9001, "192.0.2.1", 40000)
UNIX_CLIENT = ConnectionInfo(Side.CLIENT, "/run/shop.sock", 0, "", 0)
UNIX_SERVER = ConnectionInfo(Side.SERVER, "", 0, "/run/shop.sock", 0)


def described(*arguments: Any, **options: Any) -> Description:
    return describe(exchange(*arguments, **options))


def test_everything_known_of_a_server_exchange() -> None:
    inbound = ConnectionInfo(Side.SERVER, "192.0.2.7", 40000, "127.0.0.1", 8080)
    description = described(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), connection=inbound)
    assert description == Description(
        "GET",
        {
            "http.request.method": "GET",
            "url.scheme": "http",
            "url.path": "/cart/7",
            "url.query": "id=3",
            "server.address": "shop.example",
            "server.port": 8080,
            "client.address": "192.0.2.7",
            "client.port": 40000,
            "network.peer.address": "192.0.2.7",
            "network.peer.port": 40000,
            "network.protocol.version": "1.1",
            "user_agent.original": "test/1",
            "http.request.body.size": 3,
            "http.response.body.size": 7,
            "http.response.status_code": 200,
        },
        False,
    )


def test_everything_known_of_a_client_exchange() -> None:
    assert described(side=Side.CLIENT, connection=OUTBOUND) == Description(
        "GET",
        {
            "http.request.method": "GET",
            "url.full": "http://shop.example:8080/cart/7?id=3",
            "server.address": "shop.example",
            "server.port": 8080,
            "network.peer.address": "192.0.2.9",
            "network.peer.port": 9001,
            "network.protocol.version": "1.1",
            "user_agent.original": "test/1",
            "http.response.body.size": 7,
            "http.response.status_code": 200,
        },
        False,
    )


def request(line: str, *fields: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", ""]).encode()


CLIENT_URLS = [
    (request("GET /", "Host: shop"), "http://shop/", "shop", 80),
    (request("GET /", "Host: [::1]:90"), "http://[::1]:90/", "::1", 90),
    (request("GET /"), "http://192.0.2.9:9001/", "192.0.2.9", 9001),
    (request("GET http://shop:81/a?b", "Host: proxy"), "http://shop:81/a?b", "shop", 81),
    (request("GET http://u:p@shop/a?sig=1"), "http://REDACTED:REDACTED@shop/a?sig=REDACTED", "shop", 80),
    (request("GET /", "Host: u:p@shop"), "http://REDACTED:REDACTED@shop/", "shop", 80),
    (request("GET /?a=1&Signature=x", "Host: shop"), "http://shop/?a=1&Signature=REDACTED", "shop", 80),
    (request("OPTIONS *", "Host: shop:1"), "http://shop:1", "shop", 1),
    (request("CONNECT shop:443", "Host: shop:443"), "http://shop:443", "shop", 443),
    (b"", "http://192.0.2.9:9001", "192.0.2.9", 9001),
]


@pytest.mark.parametrize(("head", "url", "address", "port"), CLIENT_URLS)
def test_what_a_client_asked_for(head: bytes, url: str, address: str, port: int) -> None:
    attributes = described(head, side=Side.CLIENT, connection=OUTBOUND).attributes
    found = (attributes["url.full"], attributes["server.address"], attributes["server.port"])
    assert found == (url, address, port)


INBOUND = ConnectionInfo(Side.SERVER, "192.0.2.7", 40000, "127.0.0.1", 8080)
SERVER_URLS = [
    (request("GET /a", "Host: shop"), ("http", "/a", None, "shop", 80)),
    (request("GET /a?"), ("http", "/a", None, "127.0.0.1", 8080)),
    (request("GET http://u:p@shop:1/a?b", "Host: other"), ("http", "/a", "b", "shop", 1)),
    (request("GET /", "X-Forwarded-Proto: https", "X-Forwarded-Host: out"), ("https", "/", None, "out", 443)),
    (request("GET /?sig=1", "Host: [::1]:2"), ("http", "/", "sig=REDACTED", "::1", 2)),
    (request("OPTIONS *", "Host: shop"), ("http", "*", None, "shop", 80)),
    (request("CONNECT shop:443"), ("http", "", None, "shop", 443)),
]  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), SERVER_URLS)
def test_what_a_server_was_asked_for(head: bytes, expected: tuple[object, ...]) -> None:
    attributes = described(head, connection=INBOUND).attributes
    names = ("url.scheme", "url.path", "url.query", "server.address", "server.port")
    assert tuple(attributes.get(name) for name in names) == expected


def test_a_client_behind_a_proxy() -> None:
    attributes = described(request("GET /", "Host: a", "X-Forwarded-For: 198.51.100.1"), connection=INBOUND).attributes
    assert (attributes["client.address"], attributes["network.peer.address"]) == ("198.51.100.1", "192.0.2.7")
    assert "client.port" not in attributes


@pytest.mark.parametrize(("side", "connection"), [(Side.CLIENT, UNIX_CLIENT), (Side.SERVER, UNIX_SERVER)])
def test_sockets_that_are_paths(side: Side, connection: ConnectionInfo) -> None:
    attributes = described(request("GET /", "Host: localhost"), side=side, connection=connection).attributes
    assert (attributes["network.transport"], attributes["network.peer.address"]) == ("unix", "/run/shop.sock")
    assert "network.peer.port" not in attributes
    assert "client.address" not in attributes


def test_a_path_that_is_no_text() -> None:
    connection = ConnectionInfo(Side.CLIENT, "/run/\udcff", 0, "", 0)
    assert described(side=Side.CLIENT, connection=connection).attributes["network.peer.address"] == "/run/\ufffd"


def test_nothing_known_of_the_connection() -> None:
    attributes = described().attributes
    assert attributes["server.address"] == "shop.example"
    assert not [name for name in attributes if name.startswith(("client.", "network.peer"))]


OUTCOMES = [
    (Side.SERVER, 200, "", None, False),
    (Side.SERVER, 404, "", None, False),
    (Side.SERVER, 500, "", "500", True),
    (Side.CLIENT, 399, "", None, False),
    (Side.CLIENT, 404, "", "404", True),
    (Side.CLIENT, 503, "", "503", True),
    (Side.CLIENT, 200, "connection_reset", "connection_reset", True),
    (Side.SERVER, 500, "connection_closed", "connection_closed", True),
    (Side.CLIENT, 0, "timeout", "timeout", True),
]


@pytest.mark.parametrize(("side", "status", "error", "error_type", "failed"), OUTCOMES)
def test_outcomes(side: Side, status: int, error: str, error_type: str | None, failed: bool) -> None:
    answer = f"HTTP/1.1 {status} X\r\n\r\n".encode() if status else None
    description = described(answer=answer, side=side, error_type=error)
    assert description.failed == failed
    assert description.attributes.get("error.type") == error_type
    assert description.attributes.get("http.response.status_code") == (status or None)


METHODS = [
    (b"QUERY", "QUERY", "QUERY", None),
    (b"BREW", "HTTP", "_OTHER", "BREW"),
    (b"get", "HTTP", "_OTHER", "get"),
    (b"A" * 99, "HTTP", "_OTHER", "A" * 64),
]


@pytest.mark.parametrize(("method", "name", "known", "original"), METHODS)
def test_methods(method: bytes, name: str, known: str, original: str | None) -> None:
    description = described(GET.replace(b"GET", method))
    assert (description.name, description.attributes["http.request.method"]) == (name, known)
    assert description.attributes.get("http.request.method_original") == original


def test_a_request_never_seen_has_no_original_method() -> None:
    description = described(b"", None, side=Side.CLIENT, connection=OUTBOUND, error_type="ECONNREFUSED")
    assert (description.name, description.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert "http.request.method_original" not in description.attributes


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (GET.replace(b"GET", b"HEAD"), OK),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_a_body_of_unknown_size(head: bytes, answer: bytes) -> None:
    assert "http.response.body.size" not in described(head, answer).attributes
