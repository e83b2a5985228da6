"""Appends spans to a file: one OTLP/JSON ExportTraceServiceRequest a line, whole lines only."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

from rbinder.exporters import Exporter, Surroundings
from rbinder.exporters.batch import BatchProcessor, limits_from_environment
from rbinder.exporters.otlp_json import encode
from rbinder.exporters.stderr import Stderr

DELAY = 0.2  # seconds until a span is in the file, unless OTEL_BSP_SCHEDULE_DELAY says otherwise: it may be watched


class FileDelivery:
    """Raises OSError at once where the file can't be opened."""

    def __init__(self, path: str, stderr: Stderr) -> None:
        self.reason = ""
        self._path, self._stderr = path, stderr
        # O_NONBLOCK lets a FIFO without reader fail rather than wait
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(path, flags, 0o666)
        os.set_blocking(self._descriptor, True)
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def export(self, spans: Sequence[ReadableSpan]) -> bool:
        line = json.dumps(encode(spans), separators=(",", ":"), ensure_ascii=False) + "\n"
        try:
            self._append(line.encode("utf-8", "replace"))
        except OSError as error:
            self.reason = f"{self._path}: {error.strerror}"
            self._stderr.warn(f"spans can't be written to {self._path} ({error.strerror})")
            return False
        return True

    def hurry(self) -> None:
        """Nothing here waits and tries again."""

    def renew(self) -> None:
        """Nothing was broken off."""

    def close(self) -> None:
        os.close(self._descriptor)

    def _append(self, line: bytes) -> None:
        """All of the line, or nothing and an OSError. The lock keeps off other rbinders with the same file."""
        if not self._regular:
            self._write(line)
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            before = os.fstat(self._descriptor).st_size
            try:
                self._write(line)
            except OSError:
                os.ftruncate(self._descriptor, before)
                raise
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._descriptor, line) :]


def create(surroundings: Surroundings) -> Exporter:
    """Raises ValueError where there is no file or it can't be opened."""
    path = surroundings.config.output
    if not path:
        raise ValueError("the exporter file needs -o FILE to say which one")
    try:
        delivery = FileDelivery(path, surroundings.stderr)
    except OSError as error:
        raise ValueError(f"spans can't be written to {path} ({error.strerror})") from error
    return BatchProcessor(delivery, limits_from_environment(DELAY), path)
