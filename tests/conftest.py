"""Set up what holds for all tests.

Those of the kernel run before all others. They make processes from this one by system calls,
as `swarm-runtime` does. That is only right in a process with a single thread; others leave
threads of gRPC and event loops behind.

Tests interrupt what they start. Whatever a shell runs in the background ignores that, and so
would they and all that they start.

A property does not hold within so many milliseconds: a busy machine is no counterexample.
"""

import signal

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Have interrupts interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable, so everything else stays in order."""
    items.sort(key=lambda item: "tests/kernel/" not in item.path.as_posix())
