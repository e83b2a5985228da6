"""The words before the command, as env(1) and strace(1) take them. This file does no I/O and reads no environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbinder.errors import UsageError

SHORT = {"e": "engine", "s": "service-name", "x": "exporter", "o": "output", "q": "quiet", "v": "verbose", "h": "help"}
VALUED = frozenset({"engine", "service-name", "exporter", "output"})
FLAGS = frozenset({"quiet", "verbose", "no-seccomp", "no-runtime-hooks", "version", "check", "help"})


class Options:
    """What the command line says; None where it says nothing, so that the environment may."""

    __slots__ = (
        "check",
        "command",
        "engine",
        "exporter",
        "no_runtime_hooks",
        "no_seccomp",
        "output",
        "service_name",
        "show",
        "verbosity",
    )

    def __init__(self) -> None:
        self.engine: str | None = None
        self.service_name: str | None = None
        self.exporter: str | None = None
        self.output: str | None = None
        self.verbosity: int | None = None  # -1 quiet, 1 and 2 verbose
        self.no_seccomp = False
        self.no_runtime_hooks = False
        self.check = False
        self.show = ""  # "help" or "version": print that and nothing else
        self.command: tuple[str, ...] = ()


def parse(words: Sequence[str]) -> Options:
    """Read the options up to the first word that is none; the rest, untouched, is the command. Raises UsageError."""
    options = Options()
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        word = words[at]
        at += 1
        for shown, name, value in _split(word):
            if name not in VALUED:
                _set_flag(options, name)
                continue
            if value is None and at < len(words):
                value = words[at]
                at += 1
            if not value:
                raise UsageError(f"option {shown} needs a value (rbinder --help shows them)")
            setattr(options, name.replace("-", "_"), value)
        if options.show:
            return options
    if at < len(words) and words[at] == "--":
        at += 1
    options.command = tuple(words[at:])
    return options


def _split(word: str) -> Iterator[tuple[str, str, str | None]]:
    """The options in one word: how the user wrote each, its long name, the value written into the word."""
    if word.startswith("--"):
        yield _long(word)
        return
    for at, letter in enumerate(word[1:], 2):
        name = SHORT.get(letter)
        if name is None:
            raise UsageError(f"there is no option -{letter} (rbinder --help shows them all)")
        if name in VALUED:
            yield f"-{letter}", name, word[at:] or None
            return
        yield f"-{letter}", name, None


def _long(word: str) -> tuple[str, str, str | None]:
    shown, equals, value = word.partition("=")
    name = shown[2:]
    if name not in VALUED and name not in FLAGS:
        raise UsageError(f"there is no option {shown} (rbinder --help shows them all)")
    if equals and name in FLAGS:
        raise UsageError(f"option {shown} takes no value")
    return shown, name, value if equals else None


def _set_flag(options: Options, name: str) -> None:
    if name == "quiet":
        options.verbosity = -1
    elif name == "verbose":
        options.verbosity = min(max(options.verbosity or 0, 0) + 1, 2)
    elif name == "no-seccomp":
        options.no_seccomp = True
    elif name == "no-runtime-hooks":
        options.no_runtime_hooks = True
    elif name == "check":
        options.check = True
    else:
        options.show = options.show or name
