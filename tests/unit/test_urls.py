"""Targets, authorities, forwarding headers; and what is secret in a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinder.urls import (
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

TARGETS = [
    ("GET", "/", Target(path="/")),
    ("GET", "/a/b?c=d&e", Target(path="/a/b", query="c=d&e")),
    ("GET", "/a?b?c", Target(path="/a", query="b?c")),
    ("GET", "/redirect?to=http://x/", Target(path="/redirect", query="to=http://x/")),
    ("GET", "http://h:1/p?q", Target("http", "h:1", "/p", "q", True)),
    ("GET", "HTTPS://u:p@h", Target("https", "h", "/", "", True)),
    ("GET", "http://h?q", Target("http", "h", "/", "q", True)),
    ("OPTIONS", "*", Target(path="*")),
    ("CONNECT", "h:443", Target(authority="h:443")),
    ("CONNECT", "u:p@h:443", Target(authority="h:443")),
    ("", "", Target()),
]


@pytest.mark.parametrize(("method", "target", "parts"), TARGETS)
def test_targets(method: str, target: str, parts: Target) -> None:
    assert split_target(method, target) == parts


AUTHORITIES = [
    ("shop.example", "shop.example", None),
    ("shop.example:8080", "shop.example", 8080),
    ("u:p@shop:1", "shop", 1),
    ("[::1]", "::1", None),
    ("[::1]:80", "::1", 80),
    ("::1", "::1", None),
    ("shop:", "shop", None),
    ("shop:http", "shop", None),
    ("shop:0", "shop", None),
    ("shop:65536", "shop", None),
    ("shop:²", "shop", None),
    ("", "", None),
]


@pytest.mark.parametrize(("authority", "host", "port"), AUTHORITIES)
def test_authorities(authority: str, host: str, port: int | None) -> None:
    assert split_authority(authority) == (host, port)


@pytest.mark.parametrize("authority", ["shop", "shop:80", "[::1]", "[::1]:80"])
def test_authorities_can_be_joined_again(authority: str) -> None:
    assert join_authority(*split_authority(authority)) == authority


QUERIES = [
    ("a=b&sig=x&c=d", "a=b&sig=REDACTED&c=d"),
    ("AWSAccessKeyId=x&Signature=y", "AWSAccessKeyId=REDACTED&Signature=REDACTED"),
    ("X-Goog-Signature=z", "X-Goog-Signature=REDACTED"),
    ("X-Amz-Signature=x=y", "X-Amz-Signature=REDACTED"),
    ("SIG=x&sign=y&sig", "SIG=x&sign=y&sig"),
    ("sig=", "sig=REDACTED"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("query", "redacted"), QUERIES)
def test_sensitive_queries(query: str, redacted: str) -> None:
    assert redact_query(query) == redacted


URLS = [
    ("http://h/p?q=1#f", "http://h/p?q=1#f"),
    ("http://u:p@h/p", "http://REDACTED:REDACTED@h/p"),
    ("http://u@h", "http://REDACTED:REDACTED@h"),
    ("http://u:p@w@h/p", "http://REDACTED:REDACTED@h/p"),
    ("http://h/@user?mail=a@b", "http://h/@user?mail=a@b"),
    ("http://h?sig=1#sig=2", "http://h?sig=REDACTED#sig=2"),
]


@pytest.mark.parametrize(("url", "redacted"), URLS)
def test_secrets_in_urls(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


@given(st.text(), st.text(), st.text())
def test_nothing_makes_them_fail(method: str, target: str, authority: str) -> None:
    assert split_target(method, target) is not None
    assert len(split_authority(authority)) == 2
    assert redact_url(redact_url(target)) == redact_url(target)


FORWARDED = [
    ([], "", "", ""),
    ([(b"host", b"h")], "", "", "h"),
    ([(b"x-forwarded-for", b"192.0.2.1, 10.0.0.1")], "192.0.2.1", "", ""),
    ([(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"a, b"), (b"host", b"h")], "", "https", "a"),
    ([(b"forwarded", b'for="[2001:db8::1]:47";proto=HTTPS;host=a, for=10.0.0.1')], "2001:db8::1", "https", "a"),
    ([(b"forwarded", b"for=_hidden"), (b"x-forwarded-proto", b"gopher")], "", "", ""),
    ([(b"forwarded", b"for=unknown")], "", "", ""),
]


@pytest.mark.parametrize(("headers", "client", "scheme", "host"), FORWARDED)
def test_what_proxies_tell(headers: list[tuple[bytes, bytes]], client: str, scheme: str, host: str) -> None:
    assert (original_client(headers), original_scheme(headers), original_host(headers)) == (client, scheme, host)
