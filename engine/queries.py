"""Read what stands behind the `?` of a path, as Docker's clients write it.

A switch is off when it is absent, empty, 0, no, false or none, and on for all other words. What
is no number, where one is asked for, is refused by name.
"""

from urllib.parse import parse_qsl

from engine.filters import Filters, parse
from swarm.errors import Invalid

_OFF = ("", "0", "no", "false", "none")
_BOUND = 2**63


class Query:
    """The parameters of one request."""

    def __init__(self, text: str = "") -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The first value of `name`; `default` when it is absent."""
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of `name`."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Whether `name` is switched on; `default` when it is absent."""
        if name not in self._values:
            return default
        return self.text(name).strip().lower() not in _OFF

    def integer(self, name: str, default: int = 0) -> int:
        """The whole number `name`; `default` when it is absent or empty."""
        written = self.text(name)
        if not written:
            return default
        try:
            number = int(written) if written.isascii() and "_" not in written else None
        except ValueError:
            number = None
        if number is None or not -_BOUND <= number < _BOUND:
            raise Invalid(f"{name}: {written!r} is not a whole number of 64 bits")
        return number

    def filters(self) -> Filters:
        """What `filters` selects."""
        return parse(self.text("filters"))
