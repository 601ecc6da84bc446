"""Read what --chmod asks for: `755`, or changes such as `u=rwX,go=rX`."""

import re

from swarm.errors import Invalid

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXst]*)")
_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFTS = {"u": 6, "g": 3, "o": 0}


def check_mode(text: str) -> None:
    """Raise `Invalid` when `text` is no mode."""
    apply_mode(text, 0, is_directory=False)


def apply_mode(text: str, mode: int, *, is_directory: bool) -> int:
    """The mode of a file that had `mode`; empty changes nothing."""
    if not text:
        return mode
    if text.isascii() and text.isdigit():
        if set(text) & set("89") or int(text, 8) > 0o7777:
            raise _wrong(text)
        return int(text, 8)
    for clause in text.split(","):
        match = _CLAUSE.match(clause)
        if match is None:
            raise _wrong(text)
        who = "ugo" if "a" in match[1] or not match[1] else match[1]
        for action, letters in _ACTION.findall(match[2]):
            mode = _changed(mode, who, action, letters, is_directory=is_directory)
    return mode


def _changed(mode: int, who: str, action: str, letters: str, *, is_directory: bool) -> int:
    runs = is_directory or bool(mode & 0o111)
    bits = sum(_BITS.get(each, 0) for each in set(letters))
    if "X" in letters and runs:
        bits |= 1
    wanted = sum(bits << _SHIFTS[each] for each in set(who))
    if "s" in letters:
        wanted |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    if "t" in letters:
        wanted |= 0o1000
    if action == "+":
        return mode | wanted
    if action == "-":
        return mode & ~wanted
    for each in set(who):
        mode &= ~(7 << _SHIFTS[each])
    return mode | wanted


def _wrong(text: str) -> Invalid:
    return Invalid(f"invalid chmod parameter: '{text}'", hint="such as 755 or u=rwX,go=rX")
