"""Put two outputs into one stream, as Docker's clients take them apart.

Before each piece stand eight bytes: which output it is of, three zeros, and its length. A terminal
has one output only, and its bytes come as they are.
"""

import struct

STDOUT, STDERR = 1, 2

_HEADER = struct.Struct(">BxxxI")


def frame(output: int, data: bytes) -> bytes:
    """`data` with its header."""
    return _HEADER.pack(output, len(data)) + data
