"""HTTP/1 on the wire, sans-io: bytes in, events out. This package does no I/O."""
