"""What the agent needs to find its ring, carried in the environment. This file does no I/O.

It stands at the environment's very end, so that the agent can take it out again without a trace.
"""

from __future__ import annotations

PRELOAD = b"LD_PRELOAD"
AGENT = b"RBINDER_AGENT"


def carrying(
    environment: dict[bytes, bytes], library: str, keeper: int, descriptor: int, token: bytes
) -> dict[bytes, bytes]:
    """The environment with the agent in it, after the libraries that the user has loaded (src/exec.h)."""
    others = {name: value for name, value in environment.items() if name != AGENT}
    path = library.encode("utf-8", "surrogateescape")
    where = f"{keeper}.{descriptor}.{token.hex()}."
    if PRELOAD in others:
        where += f"{list(others).index(PRELOAD)}."  # where it goes back to: of two, one C library takes the first
    own = others.pop(PRELOAD, b"")
    return {**others, PRELOAD: own + b":" + path if own else path, AGENT: where.encode() + path}
