"""Where OTLP spans go, resolved as the OpenTelemetry specification says ("OTLP Exporter Configuration")."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from rbinder.environment import DEFAULT_PROTOCOL, protocol

DEFAULT_ENDPOINTS = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
TRACES_PATH = "v1/traces"
CONNECT_LIMIT = 2.0  # seconds for one address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is for showing: it has no credentials. `problem` says why nothing can be sent there ("": it can)."""

    protocol: str
    url: str
    host: str = ""
    port: int = 0
    secure: bool = False
    problem: str = ""


def resolve(settings: Mapping[str, str]) -> Endpoint:
    """The traces' endpoint out of the OTEL_EXPORTER_OTLP_* variables in `settings` (without empty ones)."""
    kind = protocol(settings) if protocol(settings) in DEFAULT_ENDPOINTS else DEFAULT_PROTOCOL
    asked = settings.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    general = settings.get("OTEL_EXPORTER_OTLP_ENDPOINT", DEFAULT_ENDPOINTS[kind])
    if kind == "grpc":
        return _resolve_grpc(asked or general, settings)
    return _described(kind, asked or f"{general.removesuffix('/')}/{TRACES_PATH}")


def _resolve_grpc(asked: str, settings: Mapping[str, str]) -> Endpoint:
    """gRPC also takes HOST:PORT, which is secure unless the insecure variable says otherwise."""
    if asked.startswith("unix:"):
        return Endpoint("grpc", asked, problem="a Unix socket, which is not probed")
    if "://" in asked:
        return _described("grpc", asked)
    insecure = settings.get("OTEL_EXPORTER_OTLP_TRACES_INSECURE") or settings.get("OTEL_EXPORTER_OTLP_INSECURE", "")
    return _described("grpc", f"{'http' if insecure.lower() == 'true' else 'https'}://{asked}")


def _described(kind: str, url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return Endpoint(kind, "(unreadable)", problem=f"no URL: {error}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return Endpoint(kind, _shown(parts), problem="no URL that starts with http:// or https:// and names a host")
    secure = parts.scheme == "https"
    # gRPC's own default port is 443 with and without TLS
    default = 443 if secure or kind == "grpc" else 80
    return Endpoint(kind, _shown(parts), parts.hostname, port or default, secure)


def _shown(parts: SplitResult) -> str:
    """The URL without credentials and query, either of which may hold a token."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def connect(endpoint: Endpoint) -> dict[str, str]:
    """Open and close a TCP connection; `error` is "" or what went wrong. May wait long for a name server."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), CONNECT_LIMIT).close()
    except (OSError, UnicodeError) as error:
        return {"error": str(getattr(error, "strerror", None) or error)}
    return {"error": ""}
