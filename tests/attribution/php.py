"""The rows of PHP: its own server, with one process and several; in Apache; and, as FastCGI, behind nginx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import TARGETS, filled, system_program

from attribution.rows import FORGET, SHAPES, Row

_SCRIPT = TARGETS / "shapes_php.php"
_MODULES = Path("/usr/lib/apache2/modules")
# One request at a time and no threads: there is no pool, and nothing comes between.
_SHAPES = tuple(shape for shape in SHAPES if shape not in ("limited", "pool"))
_NO_HTTP = "what php-fpm reads is FastCGI, not HTTP"


def _row(name: str, client: str, workers: int = 0) -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        several = (f"PHP_CLI_SERVER_WORKERS={workers}",) if workers else ()
        settings = (f"BACK={back}", f"CLIENT={client}", *several)
        return ("env", *settings, "php", "-q", "-S", f"127.0.0.1:{port}", str(_SCRIPT))

    return Row(name, "PHP", command, _SHAPES, loose=FORGET)


def small() -> list[Row]:
    return [_row("PHP, php -S with 4 workers, streams", "streams", 4)]


def _php_fpm() -> str:
    """Its name ends with its version."""
    return str(next(iter(sorted(Path("/usr/sbin").glob("php-fpm*"))), "php-fpm"))


def _apache(directory: Path, client: str) -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        php = next(iter(sorted(_MODULES.glob("libphp*.so"))), _MODULES / "libphp.so")
        out = directory / f"apache-{port}.conf"
        values = {"DIRECTORY": directory, "PORT": port, "MODULES": _MODULES, "PHP": php, "SCRIPT": _SCRIPT}
        configuration = filled("apache_php.conf.in", out, **values)
        settings = (f"BACK={back}", f"CLIENT={client}")
        return ("env", *settings, system_program("apache2"), "-DFOREGROUND", "-f", str(configuration))

    return Row(f"PHP in Apache prefork, {client}", "PHP", command, _SHAPES, loose=FORGET)


# Both are started by a shell, which ends them; nginx when the other one listens.
_BOTH = """
"$1" -F -y "$2" & php=$!
until test -S "$4/fpm.socket" || ! kill -0 $php; do sleep 0.05; done
"$3" -p "$4" -c "$5" -e stderr & web=$!
trap "kill $php $web" TERM
wait
wait
"""


def _fpm(directory: Path) -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        fpm = filled("fpm.conf.in", directory / "fpm.conf", DIRECTORY=directory)
        values = {"DIRECTORY": directory, "PORT": port, "SCRIPT": _SCRIPT}
        nginx = filled("nginx_fpm.conf.in", directory / "nginx.conf", **values)
        words = (_php_fpm(), str(fpm), system_program("nginx"), str(directory), str(nginx))
        return ("env", f"BACK={back}", "CLIENT=curl", "sh", "-c", _BOTH, "sh", *words)

    return Row("PHP, nginx and php-fpm, curl", "PHP", command, _SHAPES, loose=dict.fromkeys(_SHAPES, _NO_HTTP))


def rows(directory: Path) -> list[Row]:
    """All of them; configurations are put into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    alone = [_row(f"PHP, php -S, {client}", client) for client in ("streams", "curl")]
    several = [*small(), _row("PHP, php -S with 4 workers, curl", "curl", 4)]
    return [*alone, *several, _apache(directory, "streams"), _apache(directory, "curl"), _fpm(directory)]
