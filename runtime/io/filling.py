"""Fill the holes in our heap, so that what forks allocate lies together.

Loading and rehearsing leave free blocks all over the C library's heap. A fork takes its memory
from them, and for each it copies a page that it shared with us until then; from the end of the
heap the same memory takes a third of the pages. A launcher that keeps half a megabyte for
nothing saves 130 KiB in every shim.
"""

from typing import Final

# What is smaller comes from Python's own pools; what is larger is mapped by itself.
_SIZES: Final = (
    64_000, 32_000, 16_000, 8_000, 4_000, 2_000, 1_400, 1_000, 900, 768, 680, 600, 544, 500
)  # fmt: skip
_MOST: Final = 3_000
_END_BYTES: Final = 100_000


def fill() -> list[bytes]:
    """What lies in the holes now; they are holes again when it is let go.

    Of each size there is one block too many: that it lies behind everything before it is how we
    know that the holes are filled.
    """
    kept: list[bytes] = []
    end = id(bytes(_END_BYTES))
    for size in _SIZES:
        for _ in range(_MOST):
            kept.append(bytes(size))
            if id(kept[-1]) > end:
                end = id(kept[-1])
                break
    return kept
