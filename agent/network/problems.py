"""Let one failure not keep the rest from being done, and tell of it all the same."""

from collections.abc import Generator
from contextlib import contextmanager

from swarm.errors import SwarmError


class Problems:
    """The failures of what belongs together and does not depend on each other."""

    def __init__(self) -> None:
        self._found: list[SwarmError] = []

    @contextmanager
    def noted(self) -> Generator[None]:
        """Whatever fails inside is told later."""
        try:
            yield
        except SwarmError as err:
            self._found.append(err)

    def raise_first(self) -> None:
        """Tell of the first failure, if there was one."""
        for err in self._found:
            raise err
