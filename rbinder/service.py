"""Derives a service's name from a process's executable and arguments. Pure text.

The name of the program that was written, not of what runs it: the script, module, jar or application rather than the
interpreter or server. Where that says nothing (`server.js`), its directory does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


UNKNOWN = "unknown_service"  # resource semantic conventions, `service.name`

_VAGUE = _words("index server main app start run __main__ wsgi asgi manage")
_VAGUE_DIRECTORIES = _words(
    "src bin sbin dist app build lib out target release debug exe web www public server cmd . tmp home root work code "
    "workspace opt srv var usr local etc run main"
) | {""}
_MADE_UP = re.compile(
    r"(tmp|go-build|b|pytest-)[\w.-]*\d[\w.-]*$|tmp[\w.-]{4,}$|[0-9a-f-]{8,}$|\d+$"
)  # no human's name
_SHELLS = _words("sh bash dash ash zsh ksh mksh fish busybox toybox")
_EXTENSION = re.compile(r"\.(py|pyc|pyz|rb|ru|php|phar|pl|js|mjs|cjs|ts|mts|cts|tsx|jsx|jar|war|sh|exe|lua)$")
_JAR_VERSION = re.compile(r"[-_]v?\d+(\.\d+)*([-.](SNAPSHOT|RELEASE|FINAL|M\d+|RC\d+|[0-9a-f]{7,}))?$", re.IGNORECASE)

_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?$")
_SCRIPTS = re.compile(r"(node|nodejs|ruby|jruby|perl|php|deno|bun|lua|luajit|tsx|ts-node)[0-9.]*$")

# Options that take the next argument as their value; of others the value is attached, or they have none.
_PYTHON_VALUES = frozenset(("-W", "-X", "--check-hash-based-pycs"))
_SCRIPT_VALUES = _words(
    "-r --require --import --loader --experimental-loader --env-file -C --conditions -I -d -c --config -S -t"
)
_JAVA_VALUES = _words(
    "-cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports --add-reads"
)
_APPLICATION_SERVERS = _words("gunicorn uvicorn hypercorn daphne granian waitress-serve uwsgi")
_SERVER_FLAGS = _words(  # of those servers: options without a value
    "--reload --preload --daemon -D --debug --factory --check-config --spew --proxy-headers --access-log "
    "--no-access-log --no-server-header --use-colors --lifespan-off --ws --no-ws --reuse-port"
)


def service_name(executable: str, arguments: Sequence[str], directory: str = "") -> str:
    """The name for a process: `executable` is its absolute path, `directory` its working directory."""
    arguments = list(arguments)
    called = _base(arguments[0] if arguments else "").lstrip("-")
    program = _base(executable) or called
    rest = arguments[1:]
    if program in _SHELLS:
        return _shell(called or program, rest, directory)
    if _PYTHON.match(program):
        name = _python(rest, directory)
    elif program == "java":
        name = _java(rest, directory)
    elif _SCRIPTS.match(program):
        name = _script(program, rest, directory)
    else:
        name = _tool(program, rest, directory) or _telling(program, _parent(executable), directory)
    return name or program or UNKNOWN


def _shell(program: str, rest: list[str], directory: str) -> str:
    """A script's name; the shell's own, as it was called, for `-c` and the like."""
    first = rest[0] if rest else "-"
    return program if first.startswith("-") or program not in _SHELLS else _file(first, directory)


def _python(rest: list[str], directory: str) -> str:
    """`python [options] script|-m module|-c code`: a script that is a known server names its application."""
    at = 0
    while at < len(rest):
        argument = rest[at]
        if argument == "-m":
            module = rest[at + 1] if at + 1 < len(rest) else ""
            return _tool(module.removesuffix(".__main__"), rest[at + 2 :], directory)
        if argument.startswith("-m") and len(argument) > 2:
            return _tool(argument[2:], rest[at + 1 :], directory)
        if argument == "-c" or argument == "-":
            return ""
        if not argument.startswith("-"):
            return _tool(_base(argument), rest[at + 1 :], directory) or _file(argument, directory)
        at += 2 if argument in _PYTHON_VALUES else 1
    return ""


def _tool(name: str, rest: list[str], directory: str) -> str:
    """What a well-known program serves; "" where it is to be called by its own name, or is unknown."""
    stem = _EXTENSION.sub("", name)
    if stem in _APPLICATION_SERVERS:
        return _application(_served(rest), directory) or stem
    if stem == "flask":
        return _application(_option(rest, "--app", "-A") or "", directory) or stem
    if stem in ("celery", "faust"):
        return _application(_option(rest, "--app", "-A") or "", directory) or stem
    if stem in ("fastapi", "streamlit", "bundle", "npx", "yarn", "pnpm", "poetry", "pipenv"):
        return _wrapped(rest, directory) or stem
    if stem in ("puma", "rackup", "thin", "unicorn", "falcon", "rails", "sidekiq"):
        return _rack(stem, rest, directory)
    return "" if name.endswith((".py", ".pyz")) or stem in _VAGUE else stem


def _wrapped(rest: list[str], directory: str) -> str:
    """`bundle exec puma`, `fastapi run main.py`: the words after the verb."""
    words = [word for word in rest if not word.startswith("-")]
    if len(words) < 2:
        return ""
    after = rest[rest.index(words[1]) + 1 :]
    return _tool(_base(words[1]), after, directory) or _file(words[1], directory)


def _rack(stem: str, rest: list[str], directory: str) -> str:
    """Ruby servers name no application: the directory that they serve does."""
    configured = [word for word in rest if word.endswith(".ru")]
    return _directory_name(_parent(configured[0]) if configured else "", directory) or stem


def _served(rest: list[str]) -> str:
    """The `module:attribute` among an application server's arguments, else its last bare word."""
    bare = list[str]()
    skip = False
    for argument in rest:
        if skip:
            skip = False
        elif argument.startswith("-"):
            skip = "=" not in argument and argument not in _SERVER_FLAGS
        else:
            bare.append(argument)
    specific = [word for word in rest if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(.*\))?", word)]
    return (specific or bare or [""])[-1]


def _application(served: str, directory: str) -> str:
    """`shop.wsgi:app`, `shop/app.py`, `app`: the first part that says something, else the directory, else the first."""
    module = served.partition(":")[0]
    if not module:
        return ""
    if "/" in module or _EXTENSION.search(module):
        return _file(module, directory)
    parts = module.split(".")
    telling = [part for part in reversed(parts) if part not in _VAGUE]
    return telling[0] if telling else _directory_name("", directory) or parts[-1]


def _java(rest: list[str], directory: str) -> str:
    at = 0
    while at < len(rest):
        argument = rest[at]
        if argument == "-jar":
            return _jar(rest[at + 1], directory) if at + 1 < len(rest) else ""
        if argument in ("-m", "--module"):
            module, _, main = rest[at + 1].partition("/") if at + 1 < len(rest) else ("", "", "")
            return (main or module).rpartition(".")[2]
        if not argument.startswith(("-", "@")):
            return _file(argument, directory) if argument.endswith(".java") else argument.rpartition(".")[2]
        at += 2 if argument in _JAVA_VALUES else 1
    return ""


def _jar(path: str, directory: str) -> str:
    stem = _JAR_VERSION.sub("", _EXTENSION.sub("", _base(path)))
    return _telling(stem, _parent(path), directory)


def _script(program: str, rest: list[str], directory: str) -> str:
    if program.startswith("php") and "-S" in rest:
        return _php_server(rest, directory)
    at = 1 if program in ("deno", "bun") and rest[:1] in (["run"], ["serve"], ["x"]) else 0
    while at < len(rest):
        argument = rest[at]
        if argument in ("-e", "-p", "--eval", "--print", "-"):
            return ""
        if not argument.startswith("-"):
            tool = _tool(_base(argument), rest[at + 1 :], directory) if program.startswith(("ruby", "jruby")) else ""
            return tool if tool and "." not in _base(argument) else _file(argument, directory)
        at += 2 if argument in _SCRIPT_VALUES else 1
    return ""


def _php_server(rest: list[str], directory: str) -> str:
    """`php -S host:port [-t root] [router.php]`: what it serves."""
    root = _option(rest, "-t")
    routers = [word for word in rest if word.endswith(".php")]
    return _directory_name(root or "", directory) if root or not routers else _file(routers[0], directory)


def _file(path: str, directory: str) -> str:
    stem = _EXTENSION.sub("", _base(path.rstrip("/"))).removesuffix(".java")
    return _telling(stem, _parent(path.rstrip("/")), directory)


def _telling(stem: str, parent: str, directory: str) -> str:
    """The stem, or where it says nothing its directory's name, if that says more."""
    if stem not in _VAGUE:
        return stem
    return _directory_name(parent, directory) or _directory_name("", directory) or stem


def _directory_name(path: str, directory: str) -> str:
    """The innermost telling name on the way to `path`, "" where all are as vague as `src`."""
    full = path if path.startswith("/") else f"{directory}/{path}"
    parts: list[str] = []
    for part in full.split("/"):
        if part == "..":
            del parts[max(1, len(parts) - 1) :]
        elif part != ".":
            parts.append(part)
    while parts and (parts[-1] in _VAGUE_DIRECTORIES or _MADE_UP.match(parts[-1])):
        parts.pop()
    user = parts[:2] == ["", "home"] and len(parts) == 3
    return parts[-1] if parts and not user else ""


def _option(rest: Sequence[str], *names: str) -> str | None:
    for at, argument in enumerate(rest):
        if argument in names:
            return rest[at + 1] if at + 1 < len(rest) else None
        for name in names:
            if name.startswith("--") and argument.startswith(f"{name}="):
                return argument.partition("=")[2]
    return None


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else "")
