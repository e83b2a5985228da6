"""Front: a Flask application for gunicorn (`front_flask:app`), calling with requests; BACK_PORT names its back."""

import os

import requests
from flask import Flask, Response, request

app = Flask(__name__)
BACK = f"http://127.0.0.1:{os.environ['BACK_PORT']}/leaf"


@app.get("/work")
def work() -> Response:
    answer = requests.get(BACK, params=request.args, timeout=20)
    return Response(answer.content, answer.status_code, mimetype="application/json")
