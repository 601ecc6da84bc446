"""Keep the C heap of a process in one piece, and collections short.

glibc gives each thread an arena of its own, which pays for programs whose threads allocate
much. Ours have one busy thread and several that wait (gRPC's, the metrics server): for them
arenas are memory that is never given back, about 4 MiB a process (mallopt(3), M_ARENA_MAX).

Modules stay for as long as the process does. Collections that walk them find nothing: a tenth of
a start while they are imported, and later 25 ms for whoever is served next.
"""

import ctypes
import gc
from collections.abc import Generator
from contextlib import contextmanager

_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """Call this before the first thread starts. Does nothing on another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


@contextmanager
def importing() -> Generator[None]:
    """Import in here: what there is at the end is never looked at by a collection."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
