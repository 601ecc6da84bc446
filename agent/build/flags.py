"""Read the flags of an instruction, such as `--from=first`."""

from collections.abc import Iterable
from difflib import get_close_matches

from swarm.errors import Invalid

TEXT, TEXTS, SWITCH = "text", "texts", "switch"


class Flags:
    """The flags of one instruction, by name; `known` says which there may be, and of what kind."""

    def __init__(self, words: Iterable[str], **known: str) -> None:
        self._found: dict[str, list[str]] = {}
        for word in words:
            name, equals, value = word.removeprefix("--").partition("=")
            self._add(name, value if equals else None, known)

    def text(self, name: str) -> str:
        """The value of a flag that may be given once; empty without it."""
        return (self._found.get(name) or [""])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be given often."""
        return tuple(self._found.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """Whether a switch is on; None where nothing is said."""
        return None if name not in self._found else self._found[name][0] == "true"

    def _add(self, name: str, value: str | None, known: dict[str, str]) -> None:
        kind = known.get(name.replace("-", "_"))
        if kind is None:
            spelled = [each.replace("_", "-") for each in known]
            near = get_close_matches(name, spelled, n=1)
            raise Invalid(
                f"unknown flag: --{name}" + (f" (did you mean {near[0]}?)" if near else "")
            )
        if name in self._found and kind != TEXTS:
            raise Invalid(f"duplicate flag specified: --{name}")
        if kind == SWITCH:
            value = _truth(name, value)
        elif value is None:
            raise Invalid(f"missing a value on flag: --{name}")
        self._found.setdefault(name, []).append(value)


def _truth(name: str, value: str | None) -> str:
    if value == "":
        raise Invalid(f"missing a value on flag: --{name}")
    word = (value or "true").lower()
    if word not in ("true", "false"):
        raise Invalid(f"expecting boolean value for flag --{name}, not: {value}")
    return word
