"""Takes request targets, authorities and forwarding headers apart, and takes secrets out of URLs. Pure text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rbinder.messages import Headers, header

# `url.full` and `url.query` in OpenTelemetry's registry; the first two are in its earlier versions, the rest in its
# current one. Matching is case-sensitive.
SENSITIVE_KEYS = frozenset(
    (
        "AWSAccessKeyId",
        "Signature",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "sig",
        "X-Goog-Signature",
    )
)
REDACTED = "REDACTED"
DEFAULT_PORTS = {"http": 80, "https": 443}

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#@]*(?:@[^/?#@]*)*@")


@dataclass(frozen=True, slots=True)
class Target:
    """A request target's parts (RFC 9112 section 3.2), "" where it has none; `authority` is without credentials."""

    scheme: str = ""
    authority: str = ""
    path: str = ""
    query: str = ""
    absolute: bool = False


def split_target(method: str, target: str) -> Target:
    """Origin, absolute, authority or asterisk form."""
    if method == "CONNECT":
        return Target(authority=_without_credentials(target))
    if not target.startswith("/") and (match := _ABSOLUTE.match(target)):
        scheme, authority, path, query = match.groups("")
        return Target(scheme.lower(), _without_credentials(authority), path or "/", query, True)
    path, _, query = target.partition("?")
    return Target(path=path, query=query)


def split_authority(authority: str) -> tuple[str, int | None]:
    """Host (an IPv6 address without its brackets) and port; None where it names none that is valid."""
    authority = _without_credentials(authority.strip())
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        return host, _port(port.removeprefix(":"))
    if authority.count(":") > 1:  # an IPv6 address whose brackets somebody forgot
        return authority, None
    host, _, port = authority.partition(":")
    return host, _port(port)


def join_authority(host: str, port: int | None) -> str:
    """The reverse of `split_authority`."""
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{port}" if port else bracketed


def redact_query(query: str) -> str:
    """The query with the values of sensitive keys replaced."""
    if "=" not in query:
        return query
    return "&".join(_redact_parameter(parameter) for parameter in query.split("&"))


def redact_url(url: str) -> str:
    """The URL with credentials and sensitive query values replaced."""
    url = _CREDENTIALS.sub(f"{REDACTED}:{REDACTED}@", url, count=1)
    base, mark, rest = url.partition("?")
    query, fragment_mark, fragment = rest.partition("#")
    return f"{base}{mark}{redact_query(query)}{fragment_mark}{fragment}"


def original_client(headers: Headers) -> str:
    """The first client that proxies tell of (RFC 7239, else X-Forwarded-For), "" where none does."""
    node = _forwarded(headers, "for") or header(headers, b"x-forwarded-for").split(",")[0].strip()
    return "" if node.startswith("_") or node == "unknown" else split_authority(node)[0]


def original_scheme(headers: Headers) -> str:
    """The scheme that the client used according to proxies, "" where none tells."""
    scheme = _forwarded(headers, "proto") or header(headers, b"x-forwarded-proto").split(",")[0].strip()
    return scheme.lower() if scheme.lower() in DEFAULT_PORTS else ""


def original_host(headers: Headers) -> str:
    """The authority that the client asked for: what proxies tell of, else Host."""
    forwarded = _forwarded(headers, "host") or header(headers, b"x-forwarded-host").split(",")[0].strip()
    return forwarded or header(headers, b"host")


def _forwarded(headers: Headers, key: str) -> str:
    first = header(headers, b"forwarded").split(",")[0]
    for pair in first.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == key:
            return value.strip().strip('"')
    return ""


def _redact_parameter(parameter: str) -> str:
    key, mark, _ = parameter.partition("=")
    return f"{key}={REDACTED}" if mark and key in SENSITIVE_KEYS else parameter


def _without_credentials(authority: str) -> str:
    return authority.rpartition("@")[2]


def _port(digits: str) -> int | None:
    valid = digits.isascii() and digits.isdecimal() and len(digits) <= 5 and 0 < int(digits) < 65536
    return int(digits) if valid else None
