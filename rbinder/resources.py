"""Builds the OpenTelemetry Resource of a traced process: what is known of it, its service's name, the user's own
attributes on top. Arguments and environment are left out: they may hold secrets.
"""

from __future__ import annotations

import json
import os
import platform
import uuid
from collections.abc import Mapping

from opentelemetry.sdk.resources import (
    HOST_ARCH,
    HOST_NAME,
    OS_TYPE,
    PROCESS_EXECUTABLE_NAME,
    PROCESS_EXECUTABLE_PATH,
    PROCESS_PARENT_PID,
    PROCESS_PID,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    OTELResourceDetector,
    Resource,
)

from rbinder import __version__
from rbinder.conventions import printable
from rbinder.exchanges import Process
from rbinder.service import service_name

# Values of `host.arch` in OpenTelemetry's registry, for what uname(2) says.
HIGHEST_PID = 1 << 22  # include/linux/threads.h; numbers above are made up, for want of an id that means something here
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "x86", "i686": "x86", "armv7l": "arm32"}


class ProcessResource(Resource):
    """A Resource whose hash, which the exporters ask for with each span, is computed once."""

    def __init__(self, attributes: Mapping[str, object]) -> None:
        super().__init__(attributes)  # type: ignore[arg-type]
        self._hash = hash(json.dumps(dict(attributes), sort_keys=True, default=str))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class Resources:
    """What all processes share is found once."""

    def __init__(self, chosen_name: str = "") -> None:
        """`chosen_name` is the service name that the user gave for all processes, "" to derive it from each."""
        self._chosen_name = chosen_name
        machine = platform.machine()
        self._shared = Resource.create({}).merge(
            Resource(
                {
                    HOST_NAME: platform.node(),
                    HOST_ARCH: ARCHITECTURES.get(machine, machine),
                    OS_TYPE: "linux",
                    "telemetry.distro.name": "rbinder",
                    "telemetry.distro.version": __version__,
                }
            )
        )
        self._configured = OTELResourceDetector().detect()

    def of(self, process: Process) -> Resource:
        """The Resource of one process: derived facts < OTEL_* variables < a service name chosen for rbinder."""
        info = process.info
        own: dict[str, str | int] = {
            SERVICE_NAME: printable(service_name(info.executable, info.arguments, info.directory)),
            SERVICE_INSTANCE_ID: str(uuid.uuid4()),
        }
        if process.pid <= HIGHEST_PID:
            own[PROCESS_PID] = process.pid
        if 0 < info.parent_pid <= HIGHEST_PID:
            own[PROCESS_PARENT_PID] = info.parent_pid
        if info.executable:
            own[PROCESS_EXECUTABLE_NAME] = printable(os.path.basename(info.executable))
            own[PROCESS_EXECUTABLE_PATH] = printable(info.executable)
        chosen = info.service_name or self._chosen_name
        top = {SERVICE_NAME: printable(chosen)} if chosen else {}
        merged = self._shared.merge(Resource(own)).merge(self._configured).merge(Resource(top))
        return ProcessResource(merged.attributes)
