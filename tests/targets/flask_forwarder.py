"""The service that the W3C test suite asks for: POSTs given arguments to given URLs, and knows nothing of tracing.

Usage: flask_forwarder.py PORT; then POST /test with JSON `[{"url": ..., "arguments": [...]}, ...]`.
"""

import sys

import requests
from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/test")
def forward() -> Response:
    for call in request.get_json():
        requests.post(call["url"], json=call["arguments"], timeout=20)
    return Response("done", mimetype="text/plain")


app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
