"""Notice the keys by which one leaves a terminal without ending what runs there.

The keys are held back until it is clear that they are not the beginning of the sequence; all
else passes as it was typed.
"""

from swarm.errors import Invalid

DEFAULT_KEYS = "ctrl-p,ctrl-q"

_HINT = "write keys like ctrl-p,ctrl-q or ctrl-x,a"


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence such as `ctrl-p,ctrl-q`."""
    return bytes(_key(each, text) for each in text.split(","))


def _key(key: str, text: str) -> int:
    name, dash, letter = key.rpartition("-")
    if len(key) == 1 and key.isascii():
        return ord(key)
    if dash and name == "ctrl" and len(letter) == 1:
        code = ord(letter.upper()) - 64
        if 0 <= code < 32 and letter.isascii():
            return code
    raise Invalid(f"--detach-keys {text!r}: {key!r} is not a key", hint=_HINT)


class Watch:
    """What was typed so far, seen for `keys`."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to pass on of all that was typed, and whether the sequence is complete."""
        passed = bytearray()
        for byte in typed:
            self._held += bytes((byte,))
            while not self._keys.startswith(self._held):
                passed.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                return bytes(passed), True
        return bytes(passed), False
