"""Spans as OTLP/JSON: the protobuf JSON mapping, but ids in hexadecimal and enumerations as numbers (OTLP
specification, "JSON Protobuf Encoding"). Pure data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

Json = dict[str, Any]

# opentelemetry/proto/trace/v1/trace.proto
KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
HAS_IS_REMOTE = 0x100
IS_REMOTE = 0x200


def encode(spans: Iterable[ReadableSpan]) -> Json:
    """One ExportTraceServiceRequest; all spans are of one instrumentation scope, rbinder's."""
    by_resource: dict[Resource, list[ReadableSpan]] = {}
    for span in spans:
        by_resource.setdefault(span.resource, []).append(span)
    return {"resourceSpans": [_resource_spans(resource, members) for resource, members in by_resource.items()]}


def _resource_spans(resource: Resource, spans: list[ReadableSpan]) -> Json:
    scope = spans[0].instrumentation_scope
    named = {"name": scope.name, "version": scope.version or ""} if scope else {}
    return {
        "resource": {"attributes": _attributes(resource.attributes)},
        "scopeSpans": [{"scope": named, "spans": [_span(span) for span in spans]}],
    }


def _span(span: ReadableSpan) -> Json:
    context, parent = span.context, span.parent
    assert context is not None, "the SDK gives every span one"
    encoded: Json = {"traceId": format_trace_id(context.trace_id), "spanId": format_span_id(context.span_id)}
    if state := context.trace_state.to_header():
        encoded["traceState"] = state
    if parent:
        encoded["parentSpanId"] = format_span_id(parent.span_id)
    encoded |= {
        "flags": context.trace_flags | HAS_IS_REMOTE | (IS_REMOTE if parent and parent.is_remote else 0),
        "name": span.name,
        "kind": KINDS[span.kind],
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes),
    }
    if span.events:
        encoded["events"] = [_event(event) for event in span.events]
    encoded["status"] = {"code": 2} if span.status.status_code is StatusCode.ERROR else {}
    return encoded


def _event(event: Event) -> Json:
    return {"timeUnixNano": str(event.timestamp), "name": event.name}


def _attributes(attributes: Mapping[str, Any] | None) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
