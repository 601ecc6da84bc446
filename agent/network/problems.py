"""Let one failure not keep the rest from being done, and tell of it all the same."""

from collections.abc import Generator
from contextlib import contextmanager

from swarm.errors import Refused, SwarmError
from swarm.specs import Port


class PortTaken(Refused):
    """A port of this node is another's: `owner` is a service or a container, empty a program."""

    def __init__(self, port: Port, message: str, *, owner: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.port = port
        self.owner = owner


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
