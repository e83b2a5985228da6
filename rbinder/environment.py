"""The OTEL_* variables that the OpenTelemetry SDK reads by itself: judged here, so that a bad one can't make it fail.

Nothing is changed in the traced program's environment, whose own SDK must see what the user set. What has to differ
for rbinder's exporter process is returned as repairs: a name and its better value, or None for "as if it weren't set".
This file does no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Repairs = dict[str, str | None]

PROTOCOLS = ("http/protobuf", "grpc")
DEFAULT_PROTOCOL = "http/protobuf"

# Spans: four times the specification's defaults, which are made for an SDK in one process. An export costs about as
# much as a thousand spans in it.
QUEUE_SIZE, BATCH_SIZE = 8192, 2048

# Least value and default of each: OpenTelemetry specification, "Environment Variable Specification", the sections
# "Batch Span Processor" (milliseconds and spans; the sizes are ours) and "Attribute Limits"/"Span Limits" ("": none).
INTEGERS = {
    "OTEL_BSP_SCHEDULE_DELAY": (0, "5000"),
    "OTEL_BSP_EXPORT_TIMEOUT": (0, "30000"),
    "OTEL_BSP_MAX_QUEUE_SIZE": (1, str(QUEUE_SIZE)),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": (1, str(BATCH_SIZE)),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": (0, ""),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": (0, "128"),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": (0, ""),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": (0, "128"),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": (0, "128"),
    "OTEL_SPAN_LINK_COUNT_LIMIT": (0, "128"),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": (0, "128"),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": (0, "128"),
}
# Milliseconds in the specification, the general variable before the traces' own, which wins.
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_SECRET_WORDS = ("HEADER", "KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "AUTH", "COOKIE")
_SHOWN = 40  # characters of a value that a message repeats


def present(environ: Mapping[str, str]) -> dict[str, str]:
    """The OTEL_* and RBINDER_* variables with a value, stripped: the specification counts an empty one as unset."""
    return {
        name: value.strip()
        for name, value in environ.items()
        if name.startswith(("OTEL_", "RBINDER_")) and value.strip()
    }


def quoted(name: str, value: str) -> str:
    """The value for a message: never a secret, never long, never with control characters."""
    if any(word in name.upper() for word in _SECRET_WORDS):
        return "(not shown)"
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")


def protocol(settings: Mapping[str, str]) -> str:
    """The OTLP protocol asked for, whether it exists or not; the traces' own variable comes first."""
    asked = settings.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or settings.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    return (asked or DEFAULT_PROTOCOL).lower()


def repair(environ: Mapping[str, str], exporters: tuple[str, ...], warnings: list[str]) -> Repairs:
    """What the exporter process must see otherwise than `environ` has it; one sentence a bad value in `warnings`."""
    repairs: Repairs = {name: None for name, value in environ.items() if name.startswith("OTEL_") and not value.strip()}
    settings = present(environ)
    if exporters:
        _repair_integers(settings, repairs, warnings)
        _repair_batch(settings, repairs, warnings)
    if "otlp" in exporters:
        _repair_timeouts(settings, repairs, warnings)
        _repair_protocol(settings, repairs, warnings)
        _repair_compression(settings, repairs, warnings)
    return repairs


def _repair_integers(settings: Mapping[str, str], repairs: Repairs, warnings: list[str]) -> None:
    for name, (least, default) in INTEGERS.items():
        value = settings.get(name)
        if value is None or (_is_count(value) and int(value) >= least):
            continue
        repairs[name] = None
        instead = f"the default, {default}, is used" if default else "it is ignored"
        warnings.append(f"{name}={quoted(name, value)} is no whole number of at least {least}: {instead}")
    if settings.get("OTEL_BSP_SCHEDULE_DELAY", "").strip("0") == "" and "OTEL_BSP_SCHEDULE_DELAY" in settings:
        repairs["OTEL_BSP_SCHEDULE_DELAY"] = "1"  # the SDK refuses 0, which means "at once"; 1 ms is next to it


def _repair_batch(settings: Mapping[str, str], repairs: Repairs, warnings: list[str]) -> None:
    """A batch larger than the queue is refused by the SDK; the specification asks for at most the queue's size."""
    queue, batch = (
        _effective(name, settings, repairs) for name in ("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    )
    if batch <= queue:
        return
    if "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in settings:
        warnings.append(f"OTEL_BSP_MAX_EXPORT_BATCH_SIZE={batch} is more than the queue holds: {queue} is used")
    repairs["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = str(queue)


def _effective(name: str, settings: Mapping[str, str], repairs: Repairs) -> int:
    return int(INTEGERS[name][1] if name in repairs or name not in settings else settings[name])


def _repair_timeouts(settings: Mapping[str, str], repairs: Repairs, warnings: list[str]) -> None:
    for name in TIMEOUTS:
        value = settings.get(name)
        if value is not None and not _is_positive(value):
            repairs[name] = None
            warnings.append(f"{name}={quoted(name, value)} is no positive number: the default is used")


def _repair_protocol(settings: Mapping[str, str], repairs: Repairs, warnings: list[str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = settings.get(name)
        if value is None or value in PROTOCOLS:
            continue
        if value.lower() in PROTOCOLS:
            repairs[name] = value.lower()
            continue
        repairs[name] = DEFAULT_PROTOCOL
        known = " and ".join(PROTOCOLS)
        warnings.append(f"{name}={quoted(name, value)} is not supported ({known} are): {DEFAULT_PROTOCOL} is used")


def _repair_compression(settings: Mapping[str, str], repairs: Repairs, warnings: list[str]) -> None:
    """The SDK's grpc exporter fails on every value but gzip, even on the specification's `none`."""
    allowed = ("gzip", "none") if protocol({**settings, **_kept(repairs)}) == "grpc" else ("gzip", "none", "deflate")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"):
        value = settings.get(name)
        if value is None:
            continue
        if value.lower() == "none":
            _repair_no_compression(name, settings, repairs)
        elif value.lower() not in allowed:
            repairs[name] = None
            warnings.append(f"{name}={quoted(name, value)} is not supported (gzip and none are): none is used")


def _repair_no_compression(name: str, settings: Mapping[str, str], repairs: Repairs) -> None:
    repairs[name] = None
    if name == "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" and "OTEL_EXPORTER_OTLP_COMPRESSION" in settings:
        repairs["OTEL_EXPORTER_OTLP_COMPRESSION"] = None  # else the general variable would take over


def _kept(repairs: Repairs) -> dict[str, str]:
    return {name: value for name, value in repairs.items() if value is not None}


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 18


def _is_positive(value: str) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return math.isfinite(number) and number > 0
