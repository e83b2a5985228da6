"""Sends spans by OTLP, over HTTP or gRPC, with the SDK's exporters; says in one sentence where that doesn't work."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from rbinder import endpoint, environment
from rbinder.exporters import Exporter, Surroundings
from rbinder.exporters.batch import BatchProcessor, limits_from_environment, number
from rbinder.exporters.otlp_wire import Encoder, Spans
from rbinder.exporters.stderr import Stderr

LOGGER = "opentelemetry.exporter"
EXPORT_TIMEOUT = 30_000  # ms: OTEL_BSP_EXPORT_TIMEOUT's default in the OpenTelemetry specification
OTLP_TIMEOUT = 10_000  # ms: OTEL_EXPORTER_OTLP_TIMEOUT's default there

# What the SDK's exporters and the libraries below them write about a failure, most telling first.
_PHRASES = (
    (re.compile(r"[Cc]onnection refused"), "connection refused"),
    (re.compile(r"certificate verify failed|CERTIFICATE_VERIFY_FAILED"), "its certificate can't be verified"),
    (re.compile(r"Name or service not known|name resolution|nodename nor servname|DNS resolution"), "unknown host"),
    (re.compile(r"timed out|[Tt]imeout|DEADLINE_EXCEEDED|Deadline Exceeded"), "no answer in time"),
    (re.compile(r"Network is unreachable|No route to host"), "network unreachable"),
    (re.compile(r"UNAUTHENTICATED|PERMISSION_DENIED|UNIMPLEMENTED|RESOURCE_EXHAUSTED|INVALID_ARGUMENT"), ""),
    (
        re.compile(r"reset by peer|RemoteDisconnected|Connection aborted|[Ss]ocket closed|Broken pipe"),
        "connection lost",
    ),
)
_STATUS = re.compile(r"code: ([1-5][0-9]{2}), reason: ([\w' -]*)")
_RETRIED = re.compile(r"Transient error ([A-Z][\w' -]+) encountered")


class OtlpDelivery:
    """One SDK exporter at a time, made anew after it was broken off."""

    def __init__(self, make: Callable[[], SpanExporter], url: str, stderr: Stderr) -> None:
        self._make, self._url, self._stderr = make, url, stderr
        self._cause = ""
        self._hurried = self._trying = self._failed = self._broken = False
        self._thread = 0
        self._lock = threading.RLock()
        self._exporter = make()
        self._watch = _FailureWatch(self._attempt_failed)
        self._logger = logging.getLogger(LOGGER)
        self._logger.addHandler(self._watch)

    @property
    def reason(self) -> str:
        return f"{self._url}: {self._cause}" if self._cause else ""

    def export(self, spans: Sequence[Spans]) -> bool:
        with self._lock:
            self._thread, self._trying, self._failed = threading.get_ident(), True, False
        try:
            # it does nothing with them but count and encode them (_encode_faster)
            delivered = self._exporter.export(cast(Sequence[ReadableSpan], spans)) is SpanExportResult.SUCCESS
        except Exception as error:  # a bug there, or a value that can't be encoded, must not end this thread
            self._cause = phrase(str(error))
            delivered = False
        with self._lock:
            self._trying = False
            hurried = self._hurried
        if not delivered and not hurried:
            self._stderr.warn(f"spans can't be delivered to {self._url} ({self._cause or 'refused'})")
        return delivered

    def hurry(self) -> None:
        with self._lock:
            self._hurried = True
            if self._trying and self._failed:
                self._break_off()

    def renew(self) -> None:
        with self._lock:
            if self._broken:
                self._exporter, self._broken = self._make(), False

    def close(self) -> None:
        self._logger.removeHandler(self._watch)
        with self._lock:
            if not self._broken:
                self._break_off()

    def _attempt_failed(self, message: str) -> None:
        """The exporter has logged a failure: after a transient one it will now wait, which hurry() cuts short."""
        with self._lock:
            if not self._trying or threading.get_ident() != self._thread:
                return
            if not (self._failed and "max retries" in message):  # the record before told the cause
                self._cause = phrase(message)
            self._failed = True
            if self._hurried:
                self._break_off()

    def _break_off(self) -> None:
        if not self._broken:
            self._broken = True
            self._exporter.shutdown()


class _FailureWatch(logging.Handler):
    """The exporters tell of a failed attempt by a log record only."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not message.startswith(("Shutdown in progress", "Exporter already shutdown")):
            self._failed(message)


def phrase(message: str) -> str:
    """A few words for what an exporter has logged."""
    for pattern, words in _PHRASES:
        if match := pattern.search(message):
            return words or match[0].lower().replace("_", " ")
    if match := _STATUS.search(message):
        return f"HTTP {match[1]} {match[2]}".strip()
    if match := _RETRIED.search(message):
        return match[1].lower()
    return "the export failed"


def create(surroundings: Surroundings) -> Exporter:
    """Raises ValueError where the settings leave nothing to send to."""
    settings = environment.present(os.environ)
    protocol = environment.protocol(settings)
    target = endpoint.resolve(settings)
    if protocol != "grpc" and target.problem:
        raise ValueError(f"the OTLP endpoint {target.url} is {target.problem}")
    make = _grpc if protocol == "grpc" else _http
    try:
        delivery = OtlpDelivery(make, target.url, surroundings.stderr)
    except Exception as error:  # certificates that can't be read, a credential provider that isn't there
        raise ValueError(f"the OTLP exporter for {target.url} can't be made: {error}") from error
    return BatchProcessor(delivery, limits_from_environment(), target.url, encoded=True)


def timeout() -> float:
    """Seconds for one export with all its attempts. The variables are milliseconds in the specification, where the
    SDK for Python takes them for seconds."""
    limit = float(min(number("OTEL_BSP_EXPORT_TIMEOUT", EXPORT_TIMEOUT) or EXPORT_TIMEOUT, 3_600_000))
    for name in environment.TIMEOUTS[::-1]:
        value = os.environ.get(name, "").strip()
        if value:
            return min(float(value), limit) / 1000
    return min(OTLP_TIMEOUT, limit) / 1000


def _http() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    _encode_faster(trace_exporter, Encoder.encoded)
    _ask_environment_once()
    return trace_exporter.OTLPSpanExporter(timeout=timeout())


def _grpc() -> SpanExporter:
    os.environ["GRPC_VERBOSITY"] = "NONE"  # its C core logs to stderr, and reads this when it is first imported
    from opentelemetry.exporter.otlp.proto.grpc import exporter, trace_exporter

    for each in list(exporter.logger.filters):  # it hides repeated records, by which failures are noticed here
        exporter.logger.removeFilter(each)
    _encode_faster(trace_exporter, Encoder.request)
    return trace_exporter.OTLPSpanExporter(timeout=timeout())


def _ask_environment_once() -> None:
    """For proxies; requests does so twice in every export, which takes a fifth of it. This process's doesn't change."""
    from requests import sessions

    ask = sessions.__dict__.get("get_environ_proxies")
    if ask is not None and not hasattr(ask, "cache_info"):
        sessions.__dict__["get_environ_proxies"] = functools.lru_cache(maxsize=16)(ask)


def _encode_faster(exporter: ModuleType, encode: Callable[[Encoder, Sequence[Spans]], object]) -> None:
    """Most of the time an export takes is its encoding; ours returns the same message."""
    if hasattr(exporter, "encode_spans"):
        exporter.__dict__["encode_spans"] = functools.partial(encode, Encoder())
