"""Describes an exchange in OpenTelemetry's stable HTTP semantic conventions: a name, attributes, whether it failed.

Source: "Semantic conventions for HTTP spans", version 1.23 and later. This file does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.semconv.attributes import (
    client_attributes,
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
    user_agent_attributes,
)

from rbinder.exchanges import Exchange
from rbinder.messages import Headers, Request, Response, header
from rbinder.records import ConnectionInfo, Side
from rbinder.urls import (
    DEFAULT_PORTS,
    REDACTED,
    Target,
    join_authority,
    original_client,
    original_host,
    original_scheme,
    redact_query,
    redact_url,
    split_authority,
    split_target,
)

Attributes = dict[str, str | int]

# RFC 9110, RFC 5789 and the QUERY draft, as the conventions list them.
KNOWN_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"))
OTHER_METHOD = "_OTHER"
REQUEST_BODY_SIZE = "http.request.body.size"  # opt-in, not in the stable constants
RESPONSE_BODY_SIZE = "http.response.body.size"
_METHOD_LENGTH = 64  # characters of an unknown method that are kept
_UNSEEN = Request("", "", "")


@dataclass(slots=True)
class Description:
    name: str
    attributes: Attributes
    failed: bool


def describe(exchange: Exchange, known_methods: frozenset[str] = KNOWN_METHODS) -> Description:
    """The span that an exchange is, without ids and times."""
    request = exchange.request or _UNSEEN
    known = request.method in known_methods
    attributes: Attributes = {http_attributes.HTTP_REQUEST_METHOD: request.method if known else OTHER_METHOD}
    if request.method and not known:
        attributes[http_attributes.HTTP_REQUEST_METHOD_ORIGINAL] = request.method[:_METHOD_LENGTH]
    target = split_target(request.method, request.target)
    if exchange.side is Side.SERVER:
        _server(attributes, request, target, exchange.connection)
    else:
        _client(attributes, exchange, request, target)
    _network(attributes, exchange.connection, request, exchange.response)
    _text(attributes, user_agent_attributes.USER_AGENT_ORIGINAL, header(request.headers, b"user-agent"))
    _sizes(attributes, request, exchange.response)
    failed = _outcome(attributes, exchange)
    return Description(request.method if known else "HTTP", attributes, failed)


def _server(attributes: Attributes, request: Request, target: Target, connection: ConnectionInfo | None) -> None:
    scheme = original_scheme(request.headers) or target.scheme or "http"
    attributes[url_attributes.URL_SCHEME] = scheme
    attributes[url_attributes.URL_PATH] = target.path
    _text(attributes, url_attributes.URL_QUERY, redact_query(target.query))
    authority = target.authority or original_host(request.headers)
    host, port = split_authority(authority)
    if not host and connection is not None:
        host, port = connection.local_address, connection.local_port
        _address(attributes, server_attributes.SERVER_ADDRESS, server_attributes.SERVER_PORT, host, port)
    else:
        port = port or DEFAULT_PORTS.get(scheme)
        _address(attributes, server_attributes.SERVER_ADDRESS, server_attributes.SERVER_PORT, host, port)
    client = original_client(request.headers)
    if client:
        attributes[client_attributes.CLIENT_ADDRESS] = client
    elif connection is not None and not _is_path(connection):
        peer, port = connection.peer_address, connection.peer_port
        _address(attributes, client_attributes.CLIENT_ADDRESS, client_attributes.CLIENT_PORT, peer, port)


def _client(attributes: Attributes, exchange: Exchange, request: Request, target: Target) -> None:
    connection = exchange.connection
    scheme = target.scheme or "http"
    authority = target.authority or header(request.headers, b"host")
    host, port = split_authority(authority)
    on_path = connection is not None and _is_path(connection)
    if not host and connection is not None:
        host, port = connection.peer_address, connection.peer_port or None
        authority = join_authority("localhost" if on_path else host, port)
    elif not port and not on_path:
        port = DEFAULT_PORTS.get(scheme)
    _address(attributes, server_attributes.SERVER_ADDRESS, server_attributes.SERVER_PORT, host, port)
    attributes[url_attributes.URL_FULL] = _full(request, target, scheme, authority)


def _full(request: Request, target: Target, scheme: str, authority: str) -> str:
    """The URL asked for; asterisk and authority form have no path (RFC 9112 section 3.3)."""
    if target.absolute:
        return redact_url(request.target)
    path = target.path if target.path.startswith("/") else ""
    query = f"?{redact_query(target.query)}" if target.query else ""
    credentials = f"{REDACTED}:{REDACTED}@" if "@" in authority else ""
    return f"{scheme}://{credentials}{authority.rpartition('@')[2]}{path}{query}"


def _network(
    attributes: Attributes, connection: ConnectionInfo | None, request: Request, response: Response | None
) -> None:
    version = request.version or (response.version if response else "")
    _text(attributes, network_attributes.NETWORK_PROTOCOL_VERSION, version)
    if connection is None:
        return
    peer, port = connection.peer_address, connection.peer_port
    if _is_path(connection):
        attributes[network_attributes.NETWORK_TRANSPORT] = "unix"
        peer, port = peer or connection.local_address, 0
    _address(attributes, network_attributes.NETWORK_PEER_ADDRESS, network_attributes.NETWORK_PEER_PORT, peer, port)


def _sizes(attributes: Attributes, request: Request, response: Response | None) -> None:
    """Only what Content-Length says of a body that is really sent (RFC 9110 section 8.6)."""
    _size(attributes, REQUEST_BODY_SIZE, request.headers)
    if response is not None and request.method != "HEAD" and response.status not in (204, 304):
        _size(attributes, RESPONSE_BODY_SIZE, response.headers)


def _size(attributes: Attributes, name: str, headers: Headers) -> None:
    length = header(headers, b"content-length")
    if length.isascii() and length.isdecimal() and len(length) < 19:  # OTLP has 63 bits for it
        attributes[name] = int(length)


def _outcome(attributes: Attributes, exchange: Exchange) -> bool:
    """Status and error type; tells whether the span's status is Error."""
    status = exchange.response.status if exchange.response else 0
    if status:
        attributes[http_attributes.HTTP_RESPONSE_STATUS_CODE] = status
    bad = status >= (500 if exchange.side is Side.SERVER else 400)
    error_type = exchange.error_type or (str(status) if bad else "")
    _text(attributes, error_attributes.ERROR_TYPE, error_type)
    return bool(error_type)


def _is_path(connection: ConnectionInfo) -> bool:
    return connection.peer_address.startswith(("/", "@")) or connection.local_address.startswith(("/", "@"))


def _address(attributes: Attributes, address_name: str, port_name: str, address: str, port: int | None) -> None:
    _text(attributes, address_name, address)
    if address and port:
        attributes[port_name] = port


def _text(attributes: Attributes, name: str, value: str) -> None:
    """Set it unless empty; paths may hold bytes that no exporter can encode as text."""
    if value:
        attributes[name] = printable(value)


def printable(value: str) -> str:
    """Text with the bytes that weren't UTF-8 (surrogate escapes) replaced, as protobuf demands."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
