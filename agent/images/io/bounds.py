"""Bound the memory of a process that reads what strangers sent.

A few MiB of a compressed archive can mean headers that no memory holds. Without a bound the
kernel's choice of whom to kill could fall on the agent, or on somebody's container.
"""

import resource
from typing import Final

LARGEST_MEMORY_BYTES: Final = 2 << 30
OUT_OF_MEMORY: Final = f"the archive asks for more than {LARGEST_MEMORY_BYTES >> 30} GiB of memory"
HINT: Final = "name fewer files, or compress less of it into one archive"


def bound_memory(size_bytes: int = LARGEST_MEMORY_BYTES) -> None:
    """Have whatever asks for more raise MemoryError, in this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size_bytes = min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))
