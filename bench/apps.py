"""The programs that are measured: a front of each kind, built once; each calls the C back over kept connections.

Run by itself, `python bench/apps.py` builds them all, and tells what can't be had.

The CPU-bound paths run a loop of MILLISECOND rounds, a constant in each program. Started with a number of rounds alone,
a program runs those and ends: MILLISECOND is a thousandth of the rounds that took a second of user time more than none
did, on a 2-core x86-64 virtual machine of 2025 (for Python: `python -m timeit -s 'from app import spin' 'spin(N)'`;
for Ruby: `ruby -e 'load "app.rb"; spin(N)'`). Elsewhere it is longer or shorter than 1 ms, for all variants alike.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ecosystems import BuildFailed, Peer, Peers, need, once, run
from model import ARCHETYPES

SOURCES = Path(__file__).resolve().parent / "apps"
BUILT = SOURCES.parents[1] / "build" / "bench-apps"
THREADS = 16  # of each pool
KEPT = "75"  # seconds that a connection is kept for a client that pauses: by default 2 to 5
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.11.linux-{}"  # a module as any other


@dataclass(frozen=True)
class App:
    """A front. `sdk` is how its ecosystem's instrumentation is added; where it is None, `why_not` says why.

    `internal_spans` are those that the SDK makes for a request beyond SERVER and CLIENT spans, which rbinder makes too.
    After `warms` seconds of load what a just-in-time compiler still does shows no more: where the CPU time of a request
    ceased to fall, second by second, on 2 cores. A dozen of what has `several` start in a minute.
    """

    name: str
    words: tuple[str, ...]
    sdk: Peer | None = None
    why_not: str = ""
    archetypes: tuple[str, ...] = ARCHETYPES
    internal_spans: int = 0
    warms: float = 2.0
    several: bool = True
    asked: bool = False  # whether rbinder asks its runtime for whom a call is
    why_no_agent: str = ""  # why the engine agent can't trace it

    def command(self, port: int, back: int) -> list[str]:
        """Listens on the port and calls the back."""
        return [word.format(port=port, back=back) for word in self.words]


def build_back(directory: Path) -> str:
    """The back's command without its port: static, and never traced. Raises BuildFailed."""
    return _compiled(directory, "back", "-static")


def _sources(*names: str) -> list[str]:
    """The content of all files in these directories."""
    files = [path for name in names for path in sorted((SOURCES / name).rglob("*")) if path.is_file()]
    return [path.read_text() for path in files]


def _compiled(directory: Path, name: str, *flags: str) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    out, source = directory / f"c-{name}", SOURCES / "c" / f"{name}.c"
    command = [need("gcc"), "-O2", *flags, "-o", str(out), str(source), "-lpthread"]
    once(directory / f"c-{name}.done", [*_sources("c"), *command], lambda: run(command))
    return str(out)


def _c(directory: Path) -> App:
    front = _compiled(directory, "front")
    why = "there is no instrumentation for C that needs no change of the program"
    return App("C", (front, "{port}", "{back}"), why_not=why)


def _node(directory: Path) -> App:
    words = (need("node"), str(SOURCES / "node" / "front.js"), "{port}", "{back}")
    return _with(Peers(directory).node, App("Node", words, warms=6.0, asked=True))


def _flask(directory: Path) -> App:
    peers = Peers(directory)
    sdk = peers.python()  # the frameworks come with it
    gunicorn = (peers.interpreter, "-m", "gunicorn", "--no-control-socket", "--chdir", str(SOURCES / "flask"))
    options = ("-k", "gthread", "--threads", str(THREADS), "--keep-alive", KEPT, "-b", "127.0.0.1:{port}")
    return App("Flask", (*gunicorn, *options, "-e", "BACK_PORT={back}", "app:app"), sdk, asked=True)


def _fastapi(directory: Path) -> App:
    peers = Peers(directory)
    sdk = peers.python()
    words = (peers.interpreter, str(SOURCES / "fastapi" / "app.py"), "{port}", "{back}")
    messages = 2  # that it sends for a response, each with a span
    return App("FastAPI", words, sdk, internal_spans=messages, asked=True)


def _ruby(directory: Path) -> App:
    puma = ("env", "BACK_PORT={back}", need("puma"), "--quiet", "--environment", "none", "--config", "-")
    options = ("--threads", f"{THREADS}:{THREADS}", "--bind", "tcp://127.0.0.1:{port}")
    why = "its instrumentation is on rubygems.org alone, from where nothing is fetched here"
    return App("Ruby", (*puma, *options, str(SOURCES / "ruby" / "config.ru")), why_not=why, asked=True)


def _java(directory: Path) -> App:
    classes = directory / "java"
    compile = [need("javac"), "-d", str(classes), str(SOURCES / "java" / "Front.java")]
    once(directory / "java-front.done", [*_sources("java"), *compile], lambda: run(compile))
    # Without Nagle's algorithm, and with as many kept connections as threads: the defaults are 40 ms and five.
    options = ("-Dsun.net.httpserver.nodelay=true", f"-Dhttp.maxConnections={THREADS}")
    words = ("java", *options, "-cp", str(classes), "Front", "{port}", "{back}")
    return _with(Peers(directory).java, App("Java", words, warms=14.0, asked=True))


def _spring(directory: Path) -> App:
    out = directory / "spring"
    package = [need("mvn"), "-q", "-B", "-f", str(SOURCES / "spring" / "pom.xml"), f"-Doutput={out}", "package"]
    once(directory / "spring.done", [*_sources("spring"), *package], lambda: run(package))
    words = ("java", "-jar", str(out / "front.jar"), "{port}", "{back}")
    return _with(Peers(directory).java, App("Spring Boot", words, warms=18.0, several=False, asked=True))


def _go(directory: Path) -> App:
    out, source = directory / "go-front", SOURCES / "go"

    def make() -> None:
        run([go_command(directory), "build", "-o", str(out)], source)

    once(directory / "go.done", _sources("go"), make)
    why = "Go makes its calls without the C library"
    return App("Go", (str(out), "{port}", "{back}"), Peer(suffix=("-sdk",)), why_no_agent=why)


def go_command(directory: Path) -> str:
    """The installed one if it can fetch a newer Go by itself, as since 1.21; else a newer one. Raises BuildFailed."""
    installed = need("go")
    version = run([installed, "env", "GOVERSION"], directory).strip().removeprefix("go")
    if tuple(int(part) for part in version.split(".")[:2]) >= (1, 21):
        return installed
    module = TOOLCHAIN.format({"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine])
    own = directory / "go"

    def install() -> None:
        run([installed, "mod", "download", module], directory)
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(Path(run([installed, "env", "GOMODCACHE"], directory).strip(), module), own)
        for path in (own, *own.rglob("*")):  # in the cache nothing can be executed, and nothing removed
            path.chmod(0o755)

    once(directory / "toolchain.done", (module,), install)
    return str(own / "bin" / "go")


def _with(install: Callable[[], Peer], app: App) -> App:
    """With that instrumentation where it can be had, and else with the reason why not."""
    try:
        return dataclasses.replace(app, sdk=install())
    except BuildFailed as failure:
        return dataclasses.replace(app, why_not=str(failure))


_BUILDERS: dict[str, Callable[[Path], App]] = {
    "Node": _node,
    "Flask": _flask,
    "FastAPI": _fastapi,
    "Ruby": _ruby,
    "Java": _java,
    "Spring Boot": _spring,
    "Go": _go,
    "C": _c,
}
NAMES = tuple(_BUILDERS)


def build(name: str, directory: Path = BUILT) -> App:
    """One of NAMES. Raises BuildFailed."""
    directory.mkdir(parents=True, exist_ok=True)
    return _BUILDERS[name](directory)


def available(
    directory: Path = BUILT, wanted: Collection[str] = NAMES, failed: dict[str, str] | None = None
) -> list[App]:
    """Those of the wanted ones that can be had; for the others, `failed` gets a sentence by name."""
    apps = []
    for name in NAMES:
        if name in wanted:
            try:
                apps.append(build(name, directory))
            except BuildFailed as failure:
                if failed is not None:
                    failed[name] = str(failure)
    return apps


def main() -> int:
    """The exit status."""
    failed: dict[str, str] = {}
    for app in available(wanted=sys.argv[1:] or NAMES, failed=failed):
        print(f"{app.name}: {' '.join(app.words)}" + (f" ({app.why_not})" if app.why_not else ""))
    for name, why in failed.items():
        print(f"{name}: not to be had: {why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
