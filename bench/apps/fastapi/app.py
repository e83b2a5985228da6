"""Front: FastAPI on uvicorn, calling with httpx. Usage: python app.py PORT BACKPORT."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

MILLISECOND = 16500  # rounds of the loop that take about 1 ms of CPU time: see bench/apps.py


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sys.argv[2]}", limits=limits, timeout=20) as made:
        app.state.client = made
        yield


app = FastAPI(lifespan=client)


def spin(rounds: int) -> int:
    value = 1
    for _ in range(rounds):
        value = (value * 1664525 + 1013904223) & 0xFFFFFFFF
    return value


async def ask(path: str, request: Request) -> Response:
    answer = await app.state.client.get(path, params=request.query_params)
    return Response(answer.content, answer.status_code, media_type="application/json")


@app.get("/hello")
async def hello() -> Response:
    return Response("hello", media_type="text/plain")


@app.get("/work")
async def work(request: Request) -> Response:
    return await ask("/leaf", request)


@app.get("/cpu")
async def cpu(request: Request) -> Response:
    spin(MILLISECOND)
    return await ask("/leaf", request)


@app.get("/io")
async def io(request: Request) -> Response:
    return await ask("/wait", request)


@app.get("/mixed")
async def mixed(request: Request) -> Response:
    spin(MILLISECOND // 2)
    return await ask("/wait", request)


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", timeout_keep_alive=75)
