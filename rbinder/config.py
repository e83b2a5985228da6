"""One Config is all that the command line and the environment turn into; nothing else reads rbinder's own settings.

An option beats its RBINDER_* twin, which beats the OTEL_* variable of the same meaning. A wrong option or twin is the
user's error and stops rbinder; a wrong OTEL_* value, which may be meant for others, is a warning and the default.
This file does no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from rbinder import environment
from rbinder.environment import Repairs, present, quoted
from rbinder.errors import UsageError
from rbinder.options import Options, parse

Settings = Mapping[str, str]

ENGINES = ("auto", "agent", "ptrace")
EXPORTERS = ("otlp", "console", "file")
# Names and defaults: OpenTelemetry specification, "Environment Variable Specification", "General SDK Configuration".
PROPAGATORS = ("tracecontext", "baggage", "b3", "b3multi")
DEFAULT_PROPAGATORS = ("tracecontext", "baggage")
RATIO_SAMPLERS = ("traceidratio", "parentbased_traceidratio")
SAMPLERS = ("always_on", "always_off", "parentbased_always_on", "parentbased_always_off", *RATIO_SAMPLERS)
DEFAULT_SAMPLER = "parentbased_always_on"
DEFAULT_EXIT_TIMEOUT = 5.0  # seconds

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the user decided. `repairs` is for the exporter process: OTEL_* names and what to put there (None:
    remove) before the SDK reads them; the traced program's environment stays as it is."""

    command: tuple[str, ...] = ()
    engine: str = "auto"  # one of ENGINES
    service_name: str = ""  # "": derived from each process's command
    exporters: tuple[str, ...] = ()  # out of EXPORTERS; empty: nothing is kept
    output: str | None = None  # file for spans as OTLP JSON lines
    verbosity: int = 0  # -1 quiet, 0, 1, 2
    seccomp: bool = True
    runtime_hooks: bool = True  # the agent asks language runtimes which task is running
    propagators: tuple[str, ...] = DEFAULT_PROPAGATORS  # out of PROPAGATORS, or ("none",)
    sampler: str = DEFAULT_SAMPLER  # one of SAMPLERS
    sampler_argument: float | None = None  # a ratio from 0 to 1 for RATIO_SAMPLERS, else None
    exit_timeout: float = DEFAULT_EXIT_TIMEOUT  # seconds to wait at exit for the last spans
    check: bool = False
    repairs: Repairs = field(default_factory=dict)


def from_arguments(argv: list[str], environ: Mapping[str, str], terminal: bool) -> tuple[Config, list[str]]:
    """The Config of a command line, and warnings of one sentence each. Raises UsageError.

    `argv` is without the program's name; `terminal` tells whether stderr is one.
    """
    return from_options(parse(argv), environ, terminal)


def from_options(options: Options, environ: Mapping[str, str], terminal: bool) -> tuple[Config, list[str]]:
    """As `from_arguments`, for a command line already parsed."""
    if not options.command and not options.check:
        raise UsageError("no command given; usage: rbinder [options] [--] COMMAND [ARG...] (see rbinder --help)")
    settings, warnings = present(environ), list[str]()
    output = options.output or settings.get("RBINDER_OUTPUT")
    enabled = not _disabled(settings, warnings)
    exporters = _exporters(options, settings, output, terminal, warnings) if enabled else ()
    sampler, sampler_argument = _sampler(settings, warnings)
    config = Config(
        command=options.command,
        engine=_engine(options, settings),
        service_name=options.service_name or _service_name(settings),
        exporters=exporters,
        output=output,
        verbosity=_verbosity(options, settings),
        seccomp=not (options.no_seccomp or _flag(settings, "RBINDER_NO_SECCOMP")),
        runtime_hooks=not (options.no_runtime_hooks or _flag(settings, "RBINDER_NO_RUNTIME_HOOKS")),
        propagators=_propagators(settings, warnings) if enabled else ("none",),
        sampler=sampler,
        sampler_argument=sampler_argument,
        exit_timeout=_exit_timeout(settings),
        check=options.check,
        repairs=environment.repair(environ, exporters, warnings),
    )
    return config, warnings


def _engine(options: Options, settings: Settings) -> str:
    source = "option -e" if options.engine else "RBINDER_ENGINE"
    engine = options.engine or settings.get("RBINDER_ENGINE", "auto")
    if engine not in ENGINES:
        known = f"{', '.join(ENGINES[:-1])} and {ENGINES[-1]}"
        raise UsageError(f"{source}: there is no engine {quoted('', engine)}; there are {known}")
    return engine


def _service_name(settings: Settings) -> str:
    for name in ("RBINDER_SERVICE_NAME", "OTEL_SERVICE_NAME"):
        if name in settings:
            return settings[name]
    found = ""
    for item in settings.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = item.partition("=")
        if key.strip() == "service.name":
            found = _percent_decoded(value.strip())
    return found


def _percent_decoded(value: str) -> str:
    if "%" not in value:
        return value
    from urllib.parse import unquote  # 5 ms to import, which hardly any start needs

    return unquote(value)


def _verbosity(options: Options, settings: Settings) -> int:
    if options.verbosity is not None:
        return options.verbosity
    if _flag(settings, "RBINDER_QUIET"):
        return -1
    verbose = settings.get("RBINDER_VERBOSE", "0")
    return 2 if verbose == "2" else int(_flag(settings, "RBINDER_VERBOSE"))


def _flag(settings: Settings, name: str) -> bool:
    value = settings.get(name, "0").lower()
    if value not in _TRUE and value not in _FALSE:
        raise UsageError(f"{name}={quoted(name, value)} is neither true nor false: set it to 1 or unset it")
    return value in _TRUE


def _exit_timeout(settings: Settings) -> float:
    value = settings.get("RBINDER_EXIT_TIMEOUT")
    number = DEFAULT_EXIT_TIMEOUT if value is None else _number(value)
    if number is None or number < 0:
        raise UsageError(f"RBINDER_EXIT_TIMEOUT={quoted('', value or '')} is no number of seconds from 0 on")
    return number


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _disabled(settings: Settings, warnings: list[str]) -> bool:
    value = settings.get("OTEL_SDK_DISABLED", "false").lower()
    if value not in ("true", "false"):
        warnings.append(f"OTEL_SDK_DISABLED={quoted('', value)} is neither true nor false: tracing stays on")
    return value == "true"


def _exporters(
    options: Options, settings: Settings, output: str | None, terminal: bool, warnings: list[str]
) -> tuple[str, ...]:
    names = _own_exporters(options, settings, output)
    if names is None:
        names = _listed_exporters(settings, output, warnings)
    if names is None:
        names = _default_exporters(settings, output, terminal)
    if output and "file" not in names:
        names = (*names, "file")
    return names


def _own_exporters(options: Options, settings: Settings, output: str | None) -> tuple[str, ...] | None:
    """What -x or RBINDER_EXPORTER names, where a name that doesn't exist is the user's error."""
    source = "option -x" if options.exporter else "RBINDER_EXPORTER"
    listed = options.exporter or settings.get("RBINDER_EXPORTER")
    if listed is None:
        return None
    names = _words(listed)
    unknown = [name for name in names if name not in (*EXPORTERS, "none")]
    if unknown or not names:
        raise UsageError(
            f"{source}: there is no exporter {quoted('', ','.join(unknown))}; there are {', '.join(EXPORTERS)} and none"
        )
    if "file" in names and not output:
        raise UsageError(f"{source}: the exporter file needs -o FILE to say which one")
    return tuple(name for name in names if name != "none")


def _listed_exporters(settings: Settings, output: str | None, warnings: list[str]) -> tuple[str, ...] | None:
    """What OTEL_TRACES_EXPORTER names, less what it can't mean here; None where nothing is left."""
    names = _words(settings.get("OTEL_TRACES_EXPORTER", ""))
    known = [name for name in names if name in ("otlp", "console", "none") or (name == "file" and output)]
    for name in names:
        if name not in known:
            warnings.append(f"OTEL_TRACES_EXPORTER names {quoted('', name)}, which is not supported here: left out")
    return tuple(name for name in known if name != "none") if known else None


def _default_exporters(settings: Settings, output: str | None, terminal: bool) -> tuple[str, ...]:
    if any(name in settings for name in environment.ENDPOINTS):
        return ("otlp",)
    if output:
        return ("file",)
    return ("console",) if terminal else ("otlp",)


def _words(listed: str) -> list[str]:
    """The comma list's words, lower case, each once, in order."""
    return list(dict.fromkeys(word for item in listed.split(",") if (word := item.strip().lower())))


def _propagators(settings: Settings, warnings: list[str]) -> tuple[str, ...]:
    names = _words(settings.get("OTEL_PROPAGATORS", ""))
    for name in names:
        if name not in (*PROPAGATORS, "none"):
            warnings.append(f"OTEL_PROPAGATORS names {quoted('', name)}, which is not supported: left out")
    known = tuple(name for name in names if name in PROPAGATORS)
    if "none" in names:
        return ("none",)
    return known or DEFAULT_PROPAGATORS


def _sampler(settings: Settings, warnings: list[str]) -> tuple[str, float | None]:
    """The sampler's name and its ratio, if it takes one (1.0 where none, or a bad one, is given)."""
    name = settings.get("OTEL_TRACES_SAMPLER", DEFAULT_SAMPLER).lower()
    if name not in SAMPLERS:
        warnings.append(f"OTEL_TRACES_SAMPLER={quoted('', name)} is not supported: {DEFAULT_SAMPLER} is used")
        return DEFAULT_SAMPLER, None
    if name not in RATIO_SAMPLERS:
        return name, None
    value = settings.get("OTEL_TRACES_SAMPLER_ARG", "1")
    ratio = _number(value)
    if ratio is None or not 0 <= ratio <= 1:
        warnings.append(f"OTEL_TRACES_SAMPLER_ARG={quoted('', value)} is no ratio from 0 to 1: 1.0 is used")
        return name, 1.0
    return name, ratio
