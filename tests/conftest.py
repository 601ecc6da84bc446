"""Run the tests of the kernel before all others.

They make processes from this one by system calls, as `swarm-runtime` does. That is only right
in a process with a single thread; others leave threads of gRPC and event loops behind.
"""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable, so everything else stays in order."""
    items.sort(key=lambda item: "tests/kernel/" not in item.path.as_posix())
