"""Keep the C heap of a process in one piece.

glibc gives each thread an arena of its own, which pays for programs whose threads allocate
much. Ours have one busy thread and several that wait (gRPC's, the metrics server): for them
arenas are memory that is never given back, about 4 MiB a process (mallopt(3), M_ARENA_MAX).
"""

import ctypes

_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """Call this before the first thread starts. Does nothing on another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
