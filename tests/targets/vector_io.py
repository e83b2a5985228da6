"""Sends a request by pwritev2(2) and reads the answer by preadv2(2), as on a file. Usage: vector_io.py PORT."""

import os
import socket
import sys

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
descriptor = connection.fileno()
os.pwritev(descriptor, [b"GET /a HTTP/1.1\r\n", b"Host: x\r\n\r\n"], -1, os.RWF_DSYNC)
answer = bytearray(4096)
size = os.preadv(descriptor, [answer], -1, os.RWF_HIPRI)
print(bytes(answer[:size]).splitlines()[0].decode())
