"""Front: a Flask application for gunicorn (`app:app`), calling with requests; BACK_PORT names its back."""

import os
import threading

import requests
from flask import Flask, Response, request

MILLISECOND = 16500  # rounds of the loop that take about 1 ms of CPU time: see bench/apps.py
BACK = f"http://127.0.0.1:{os.environ.get('BACK_PORT')}"
app = Flask(__name__)
own = threading.local()


def spin(rounds: int) -> int:
    value = 1
    for _ in range(rounds):
        value = (value * 1664525 + 1013904223) & 0xFFFFFFFF
    return value


def ask(path: str) -> Response:
    """Each thread keeps its own connection: a session of requests is not made to be shared."""
    if not hasattr(own, "session"):
        own.session = requests.Session()
    answer = own.session.get(BACK + path, params=request.args, timeout=20)
    return Response(answer.content, answer.status_code, mimetype="application/json")


@app.get("/hello")
def hello() -> Response:
    return Response("hello", mimetype="text/plain")


@app.get("/work")
def work() -> Response:
    return ask("/leaf")


@app.get("/cpu")
def cpu() -> Response:
    spin(MILLISECOND)
    return ask("/leaf")


@app.get("/io")
def io() -> Response:
    return ask("/wait")


@app.get("/mixed")
def mixed() -> Response:
    spin(MILLISECOND // 2)
    return ask("/wait")
