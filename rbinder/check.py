"""`rbinder --check`: what works on this machine, what doesn't, why, and what to do about it, one line each."""

from __future__ import annotations

import os
import platform
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rbinder import __version__, agent, endpoint, probes
from rbinder.agent.choice import NOT_BUILT
from rbinder.agent.choice import REMEDY as AGENT_REMEDY
from rbinder.agent.probe import load_agent
from rbinder.config import Config
from rbinder.environment import present

OK, WARN, NO = "ok", "warn", "no"
OLDEST_KERNEL = (4, 8)  # since it ptrace sees a call before seccomp does, and Docker's default profile allows ptrace
ARCHITECTURES = ("x86_64", "aarch64")
DEPENDENCIES = ("python-ptrace", "h11", "psutil", "opentelemetry-sdk", "opentelemetry-exporter-otlp")
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")  # Documentation/admin-guide/LSM/Yama.rst

CONTAINER_REMEDY = "in a container: docker run --cap-add=SYS_PTRACE, or a seccomp profile that allows {call}"
NO_ANSWER = f"the probe gave no answer (it is given {probes.LIMIT:g} s)"
YAMA_REMEDY = "as root: sysctl kernel.yama.ptrace_scope=1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is "" where nothing has to be done or nothing can be."""

    mark: str
    what: str
    reason: str
    remedy: str = ""


def run(config: Config) -> int:
    """Print the report on stdout. 0 if an engine works here, else 1."""
    works = False
    for finding in findings(config):
        print(_line(finding), flush=True)
        works = works or (finding.what == "engine auto" and finding.mark != NO)
    return 0 if works else 1


def findings(config: Config) -> Iterator[Finding]:
    """Everything the report says, in order, each found out when it is asked for."""
    yield Finding(OK, "rbinder", __version__)
    libraries = list(map(check_dependency, DEPENDENCIES))
    yield check_python()
    yield from libraries
    needed = [check_kernel(os.uname().release), check_architecture(os.uname().machine), *check_ptrace()]
    seccomp = check_seccomp()
    in_process = check_agent()
    yield from (*needed, check_yama(), seccomp, in_process)
    yield from check_engines(config, [libraries[0], *needed], seccomp, in_process)
    yield from check_exporters(config)


def _line(finding: Finding) -> str:
    remedy = f"\n      remedy: {finding.remedy}" if finding.remedy else ""
    return f"{finding.mark:4}  {finding.what}: {finding.reason}{remedy}"


def check_python() -> Finding:
    return Finding(OK, "python", f"{platform.python_version()} ({platform.python_implementation()})")


def check_dependency(name: str) -> Finding:
    try:
        return Finding(OK, name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(NO, name, "not installed", f"pip install {name}")


def check_kernel(release: str) -> Finding:
    """`release` is uname's, such as `6.1.0-18-amd64`."""
    found = re.match(r"(\d+)\.(\d+)", release)
    needs = "{}.{} or newer is needed".format(*OLDEST_KERNEL)
    if found is None:
        return Finding(WARN, "kernel", f"{release} is no version number; {needs}")
    if (int(found[1]), int(found[2])) < OLDEST_KERNEL:
        return Finding(NO, "kernel", f"{release}; {needs}", "use a newer kernel")
    return Finding(OK, "kernel", f"{release} ({needs})")


def check_architecture(machine: str) -> Finding:
    known = " and ".join(ARCHITECTURES)
    if machine not in ARCHITECTURES:
        return Finding(NO, "architecture", f"{machine}; {known} are supported")
    if struct.calcsize("P") != 8:
        return Finding(NO, "architecture", f"a 32-bit Python on {machine}", "use a 64-bit Python")
    return Finding(OK, "architecture", machine)


def check_yama() -> Finding:
    try:
        return yama_finding(YAMA.read_text().strip())
    except OSError:
        return Finding(OK, "yama ptrace_scope", "not there: this kernel has no Yama restriction")


def yama_finding(scope: str) -> Finding:
    """What a value of kernel.yama.ptrace_scope means for rbinder, which is its program's parent."""
    meanings = {
        "0": Finding(OK, "yama ptrace_scope", "0: processes of the same user may be traced"),
        "1": Finding(OK, "yama ptrace_scope", "1: descendants may be traced, and rbinder's program is one"),
        "2": Finding(WARN, "yama ptrace_scope", "2: tracing needs CAP_SYS_PTRACE", f"run as root, or {YAMA_REMEDY}"),
        "3": Finding(WARN, "yama ptrace_scope", "3: nobody may trace until a reboot", f"reboot, then {YAMA_REMEDY}"),
    }
    return meanings.get(scope, Finding(WARN, "yama ptrace_scope", f"{scope}: a value rbinder doesn't know"))


def check_ptrace() -> list[Finding]:
    """Trace a child for real, with each request the engine makes; it can do without copying descriptors."""
    answer = probes.in_child(probes.trace_child)
    if answer is None:
        return [Finding(NO, "ptrace", NO_ANSWER)]
    failure = answer["seize"] or answer["stop"] or answer["detach"]
    if failure:
        return [Finding(NO, "ptrace", f"tracing a child failed with {failure}", _ptrace_remedy())]
    return [
        Finding(OK, "ptrace", "a child was traced and let go"),
        _ability("process_vm_readv", answer["memory"], "a child's memory was read", WARN),
        _ability("pidfd_getfd", answer["descriptor"], "a child's descriptor was copied", WARN),
        _ability("PTRACE_GET_SYSCALL_INFO", answer["call_info"], "answered", WARN),
    ]


def _ability(call: str, failure: str, success: str, otherwise: str) -> Finding:
    if not failure:
        return Finding(OK, call, success)
    if failure in ("ENOSYS", "EIO", "EINVAL"):
        return Finding(otherwise, call, f"{failure}: this kernel doesn't have it")
    return Finding(otherwise, call, f"failed with {failure}", CONTAINER_REMEDY.format(call=call))


def _ptrace_remedy() -> str:
    tracer = re.search(r"^TracerPid:\s*([1-9]\d*)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if tracer:
        return f"rbinder is itself being traced by process {tracer[1]}: start it outside of that"
    yama = check_yama()
    return yama.remedy or CONTAINER_REMEDY.format(call="ptrace")


def check_seccomp() -> Finding:
    """Install a filter for real, in a child."""
    answer = probes.in_child(probes.install_filter)
    if answer is None:
        return Finding(NO, "seccomp", NO_ANSWER)
    failure = answer["filter"]
    if failure:
        remedy = f"--no-seccomp traces without it, slower; {CONTAINER_REMEDY.format(call='seccomp')}"
        return Finding(NO, "seccomp", f"installing a filter failed with {failure}", remedy)
    already = " beside the one this process is under already" if probes.seccomp_mode() == 2 else ""
    cost = "; setuid programs lose their privilege under it" if answer["privileged"] else ""
    return Finding(OK, "seccomp", f"a child installed a filter{already}{cost}")


def check_agent() -> Finding:
    """Run a program with the agent for real."""
    library = agent.library()
    if library is None or agent.reader() is None:
        return Finding(WARN, "agent", NOT_BUILT.format(machine=os.uname().machine), AGENT_REMEDY)
    answer = probes.in_child(lambda: load_agent(library))
    if answer is None:
        return Finding(WARN, "agent", NO_ANSWER)
    problem = answer["place"] or answer["header"] or answer["record"]
    if problem:
        return Finding(WARN, "agent", f"{library}: {problem}", "use -e ptrace")
    return Finding(OK, "agent", "a program's request got its header and was recorded")


def check_engines(config: Config, needed: list[Finding], seccomp: Finding, in_process: Finding) -> Iterator[Finding]:
    """What each engine can do, and which one auto takes."""
    outside = _check_ptrace_engine(config, needed, seccomp)
    inside = in_process.mark == OK
    yield (
        Finding(OK, "engine agent", "works")
        if inside
        else Finding(WARN, "engine agent", "does not work (see agent above)")
    )
    yield outside
    if outside.mark == NO:
        some = Finding(WARN, "engine auto", "agent; what that can't be loaded into runs untraced")
        yield some if inside else Finding(NO, "engine auto", "no engine works here")
        return
    ptrace = "ptrace" if outside.mark == OK else "ptrace, with --no-seccomp"
    choice = f"agent where the program is dynamically linked, else {ptrace}" if inside else ptrace
    yield Finding(outside.mark, "engine auto", choice)


def _check_ptrace_engine(config: Config, needed: list[Finding], seccomp: Finding) -> Finding:
    missing = [finding.what for finding in needed if finding.mark == NO]
    if missing:
        return Finding(NO, "engine ptrace", f"does not work without {', '.join(missing)} (see above)")
    if seccomp.mark == NO and config.seccomp:
        return Finding(WARN, "engine ptrace", "works without seccomp only", "use --no-seccomp (slower)")
    return Finding(OK, "engine ptrace", "works" if config.seccomp else "works, without a seccomp filter")


def check_exporters(config: Config) -> Iterator[Finding]:
    if not config.exporters:
        yield Finding(WARN, "exporter", "none: spans are not kept", "name one with -x, or unset OTEL_SDK_DISABLED")
    for name in config.exporters:
        if name == "otlp":
            yield check_otlp(config)
        elif name == "file":
            yield check_file(config.output or "")
        else:
            yield Finding(OK, f"exporter {name}", "traces are shown on stderr")


def check_file(path: str) -> Finding:
    what = "exporter file"
    writable = os.access(path, os.W_OK) if os.path.exists(path) else os.access(os.path.dirname(path) or ".", os.W_OK)
    if not writable or os.path.isdir(path):
        return Finding(WARN, what, f"{path} can't be written", "name another file with -o")
    return Finding(OK, what, f"spans are appended to {path}")


def check_otlp(config: Config) -> Finding:
    """Resolve the endpoint and connect to it. Nothing is sent: that a server listens is all that can be told."""
    removed = {name for name, value in config.repairs.items() if value is None}
    settings = {name: value for name, value in present(os.environ).items() if name not in removed}
    settings |= {name: value for name, value in config.repairs.items() if value is not None}
    target = endpoint.resolve(settings)
    what, where = "exporter otlp", f"{target.url} ({target.protocol})"
    if target.problem:
        return Finding(WARN, what, f"{where}: {target.problem}", "see OTEL_EXPORTER_OTLP_ENDPOINT")
    answer = probes.in_child(lambda: endpoint.connect(target))
    error = NO_ANSWER if answer is None else answer["error"]
    if error:
        remedy = "start a collector there, or set OTEL_EXPORTER_OTLP_ENDPOINT; spans that can't be sent are dropped"
        return Finding(WARN, what, f"{where} can't be reached: {error}", remedy)
    secured = "; its TLS certificate is not checked here" if target.secure else ""
    return Finding(OK, what, f"{where} accepts connections{secured}")
