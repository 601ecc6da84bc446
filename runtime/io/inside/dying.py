"""Go on dying with the parent.

The kernel forgets `PR_SET_PDEATHSIG` whenever a process becomes somebody else: by new ids, and by
entering a user namespace. A start whose shim is killed after that would go on alone.
"""

import contextlib
from collections.abc import Generator

from runtime import constants as k
from runtime.io import kernel


@contextlib.contextmanager
def still_dying() -> Generator[None]:
    """Around what changes who this process is: what its parent's death does to it stays."""
    signal = kernel.death_signal()
    yield
    kernel.prctl(k.PR_SET_PDEATHSIG, signal)
