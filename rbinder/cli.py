"""The `rbinder` command: reads the command line, starts what it asks for, and says in one sentence what went wrong."""

from __future__ import annotations

import os
import sys

from rbinder import __version__, options
from rbinder.config import Config, from_options
from rbinder.errors import RbinderError

INTERRUPTED = 130  # exit status: 128 + SIGINT, as a shell reports it
BROKEN_PIPE = 141  # exit status: 128 + SIGPIPE

HELP = """\
usage: rbinder [options] [--] COMMAND [ARG...]

Runs COMMAND and traces the HTTP requests that it and its children serve and
send. The program needs no change; its output and exit status stay its own.

  -x, --exporter LIST      where spans go: otlp, console, file, none
  -o, --output FILE        append spans to FILE as OTLP JSON lines
  -s, --service-name NAME  the service's name (else derived from the command)
  -e, --engine NAME        auto, agent or ptrace
      --no-seccomp         trace without a seccomp filter (slow; keeps setuid)
      --no-runtime-hooks   don't ask the language's runtime whom a call is for
  -q, --quiet              say nothing but errors
  -v, --verbose            say more; -vv says much more
      --check              tell what works here, and why not
      --version, -h, --help

  rbinder python shop.py                 show each trace on this terminal
  rbinder -o spans.jsonl node server.js  keep the spans in a file
  rbinder -s shop -x otlp -- ./server    send them to a collector

environment (an option wins over RBINDER_*, which wins over OTEL_*):
  RBINDER_EXPORTER, _OUTPUT, _SERVICE_NAME, _ENGINE, _NO_SECCOMP, _QUIET,
  _VERBOSE, _NO_RUNTIME_HOOKS, _EXIT_TIMEOUT (seconds for the last spans)
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_EXPORTER,
  OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS, _TIMEOUT, OTEL_PROPAGATORS,
  OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_BSP_*, OTEL_SDK_DISABLED

Without any of them: the console on a terminal, else OTLP to localhost:4318.
"""


def main(argv: list[str] | None = None) -> int:
    """Run rbinder with `argv` (without the program's name) and return the exit status."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except RbinderError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE


def say(sentence: str) -> None:
    """Write one line to stderr, whole or not at all; a closed or full stderr is nobody's error."""
    if sys.stderr is None:  # closed before the start: descriptor 2 may be any file by now
        return
    try:
        os.write(2, f"rbinder: {sentence.replace(chr(10), ' ')}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return


def _run(argv: list[str]) -> int:
    words = options.parse(argv)
    if words.show:
        print(HELP if words.show == "help" else f"rbinder {__version__}\n", end="", flush=True)
        return 0
    config, warnings = from_options(words, os.environ, os.isatty(2))
    if config.verbosity >= 0:
        for warning in warnings:
            say(warning)
    return _start(config)


def _start(config: Config) -> int:
    if config.check:
        from rbinder import check  # imported late: a traced program's start must not pay for it

        return check.run(config)
    from rbinder.launcher import run

    return run(config)


def _forget_stdout() -> None:
    """The reader of our stdout is gone: keep the interpreter from flushing into it again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
