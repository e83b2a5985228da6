"""The rows of CPython: its event loops, its servers with threads and greenlets. The test extra has all of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness import TARGETS

from attribution.rows import FORGET, SHAPES, Row

_THREADS = (*SHAPES, "queue", "thread")
_LOOPS = (*_THREADS, "aqueue")
_FRONT = str(TARGETS / "shapes_python.py")


def _loop(name: str, server: str, loop: str = "asyncio", python: str = sys.executable) -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        return (python, _FRONT, str(port), str(back), server, loop)

    return Row(name, "Python", command, _THREADS if server == "syncdef" else _LOOPS, loose=FORGET, stressed=True)


def _with_back(back: int, *words: str) -> Sequence[str]:
    return ("env", f"BACK={back}", *words)


def _threads() -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        return _with_back(back, sys.executable, str(TARGETS / "shapes_wsgi.py"), str(port))

    return Row("Python, a thread per connection, requests", "Python", command, _THREADS, loose=FORGET, stressed=True)


def _gunicorn(worker: str, *words: str) -> Row:
    def command(port: int, back: int) -> Sequence[str]:
        gunicorn = (sys.executable, "-m", "gunicorn", "--log-level", "error", "--chdir", str(TARGETS))
        return _with_back(back, *gunicorn, "-b", f"127.0.0.1:{port}", "-k", worker, *words, "shapes_wsgi:app")

    shapes = _THREADS if worker == "gthread" else (*SHAPES, "queue")
    return Row(f"Python, gunicorn {worker}, requests", "Python", command, shapes, loose=FORGET, stressed=True)


def small() -> list[Row]:
    """Without waiting long for any of them."""
    return [
        _loop("Python, asyncio streams", "streams"),
        _loop("Python, aiohttp", "aiohttp"),
        _loop("Python, Tornado", "tornado"),
        _loop("Python, aiohttp, uvloop", "aiohttp", "uvloop"),
        _loop("Python, FastAPI, httpx", "fastapi"),
        _loop("Python, FastAPI, httpx, uvloop", "fastapi", "uvloop"),
        _loop("Python, FastAPI, functions in threads", "syncdef"),
        _threads(),
        _gunicorn("gthread", "--threads", "16", "-w", "2"),
        _gunicorn("gevent"),
    ]


def rows() -> list[Row]:
    return [
        *small(),
        _loop("Python, asyncio streams, uvloop", "streams", "uvloop"),
        _loop("Python, FastAPI, functions in threads, uvloop", "syncdef", "uvloop"),
    ]
