"""Serves one connection on an event loop, and prints as JSON what a program can see of what goes on inside it.

Usage: inside_python.py [sdk]. With `sdk` a provider of OpenTelemetry's is set first.
"""

import asyncio
import contextvars
import json
import socket
import sys
import threading
import traceback

REQUEST = b"GET / HTTP/1.1\r\nHost: inside\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
found = {}


def set_provider():
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())


def failing_send():
    sock = socket.socket()
    try:
        sock.send(b"x")
    except OSError as error:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    finally:
        sock.close()


async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    found["variables"] = [variable.name for variable in contextvars.copy_context()]
    found["in_task"] = await asyncio.create_task(variables())
    found["frames"] = failing_send()
    found["names"] = [repr(method) for method in (socket.socket.send, socket.socket._accept)]
    writer.write(ANSWER)


async def variables():
    return [variable.name for variable in contextvars.copy_context()]


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    found["own"] = await variables()
    found["threads"] = threading.active_count()


if "sdk" in sys.argv:
    set_provider()
asyncio.run(main())
print(json.dumps(found))
