"""Front: asyncio streams, a kept connection to the back per client. Usage: front_asyncio.py PORT BACKPORT [uvloop]."""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter

PORT, BACK_PORT = map(int, sys.argv[1:3])


async def message(reader: StreamReader) -> tuple[bytes, bytes]:
    """A head and its body, of the length the head tells."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    return head, await reader.readexactly(size)


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    back_reader, back_writer = await asyncio.open_connection("127.0.0.1", BACK_PORT)
    try:
        while True:
            head, _ = await message(reader)
            query = head.split(b" ", 2)[1].partition(b"?")[2]
            back_writer.write(b"GET /leaf?%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (query, BACK_PORT))
            _, body = await message(back_reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        back_writer.close()
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    await server.serve_forever()


if sys.argv[3:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
