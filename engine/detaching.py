"""Find the keys in what somebody types that mean "I am leaving".

Keys come one by one or many at once, and the beginning of a sequence must not reach the program
before it is known that the rest does not follow.
"""

from swarm.errors import Invalid

DEFAULT = "ctrl-p,ctrl-q"

_CONTROLS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q`; empty is the default."""
    found = bytearray()
    for key in (text or DEFAULT).split(","):
        control = key.removeprefix("ctrl-")
        if control == key and len(key) == 1 and key.isascii():
            found += key.encode()
        elif control != key and len(control) == 1 and "a" <= control <= "z":
            found.append(ord(control) - ord("a") + 1)
        elif control != key and control in _CONTROLS:
            found.append(_CONTROLS[control])
        else:
            raise Invalid(
                f"Invalid detach keys ({text}) provided: unknown character: '{key}'",
                hint="write them like ctrl-p,ctrl-q",
            )
    return bytes(found)


class KeyWatch:
    """Passes on what is typed, up to the keys. Feed it in order."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes to the program, and whether the keys were typed; nothing after them does."""
        data = self._held + data
        at = data.find(self._keys)
        if at >= 0:
            self._held = b""
            return data[:at], True
        kept = next(
            (
                length
                for length in range(min(len(self._keys) - 1, len(data)), 0, -1)
                if self._keys.startswith(data[-length:])
            ),
            0,
        )
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept], False
