"""Match names against patterns, in the three dialects that meet in a build.

Variables know `*` and `?`; sources of COPY are matched as Go's filepath.Match does, where no
wildcard crosses a slash; ignore files add `**`, which does.
"""

import re
from collections.abc import Iterable

from swarm.errors import Invalid

WILDCARDS = "*?["
_RESERVED = frozenset(".+()|{}$^")


def prefixes(pattern: str, text: str) -> tuple[int, ...]:
    """The lengths of all beginnings of `text` that `pattern` matches, in ascending order.

    All ways through the pattern are followed at once, so that no pattern takes long.
    """
    tokens = _tokens(pattern)
    states = _with_stars({0}, tokens)
    found = [0] if len(tokens) in states else []
    for length, each in enumerate(text, 1):
        states = _with_stars(
            {
                state if tokens[state] == "*" else state + 1
                for state in states
                if state < len(tokens) and tokens[state] in ("*", "?", f"={each}")
            },
            tokens,
        )
        if not states:
            break
        if len(tokens) in states:
            found.append(length)
    return tuple(found)


def suffixes(pattern: str, text: str) -> tuple[int, ...]:
    """The lengths of all ends of `text` that `pattern` matches."""
    return prefixes(
        "".join(
            token if token in ("*", "?") else f"\\{token[1]}" for token in _tokens(pattern)[::-1]
        ),
        text[::-1],
    )


def _tokens(pattern: str) -> list[str]:
    """`*`, `?`, and `=x` for every plain character."""
    found: list[str] = []
    letters = iter(pattern)
    for each in letters:
        if each in "*?":
            found.append(each)
        else:
            found.append(f"={next(letters, each) if each == chr(92) else each}")
    return found


def _with_stars(states: set[int], tokens: list[str]) -> set[int]:
    """A star may also match nothing."""
    found = set(states)
    for state in states:
        after = state
        while after < len(tokens) and tokens[after] == "*":
            after += 1
            found.add(after)
    return found


def has_wildcards(path: str) -> bool:
    """Whether a source of COPY is a pattern: a backslash takes the meaning of what follows."""
    letters = iter(path)
    for each in letters:
        if each == "\\":
            next(letters, "")
        elif each in WILDCARDS:
            return True
    return False


def unescaped(path: str) -> str:
    """A source that is no pattern, without the backslashes that kept it from being one."""
    return re.sub(r"\\([*?\[\]\\])", r"\1", path)


def compile_path(pattern: str) -> re.Pattern[str]:
    """A pattern as filepath.Match has it; `Invalid` when it is malformed."""
    try:
        return re.compile(_path_regex(pattern) + r"\Z", re.DOTALL)
    except (re.error, IndexError) as err:
        raise _malformed(pattern) from err


def _path_regex(pattern: str) -> str:
    found, at = "", 0
    while at < len(pattern):
        each = pattern[at]
        at += 1
        if each == "*":
            found += "[^/]*"
        elif each == "?":
            found += "[^/]"
        elif each == "[":
            found_class, at = _class(pattern, at)
            found += found_class
        elif each == "\\":
            found += re.escape(pattern[at])
            at += 1
        else:
            found += re.escape(each)
    return found


def _class(pattern: str, at: int) -> tuple[str, int]:
    """`[^a-z]`: the class that begins behind its bracket, and where it ends."""
    is_negated = pattern[at] == "^"
    at += is_negated
    ranges = ""
    while pattern[at] != "]" or not ranges:
        low, at = _class_letter(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _class_letter(pattern, at + 1)
        if low > high:
            raise _malformed(pattern)
        ranges += f"{re.escape(low)}-{re.escape(high)}"
    return f"[{'^/' if is_negated else ''}{ranges}]", at + 1


def _class_letter(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] in "-]":
        raise _malformed(pattern)
    at += pattern[at] == "\\"
    return pattern[at], at + 1


def compile_ignored(pattern: str) -> re.Pattern[str]:
    """A cleaned pattern of an ignore file; `Invalid` when it is malformed."""
    compile_path(pattern)
    if pattern.startswith("**") and not set(pattern[2:]) & set("*?[]\\"):
        return re.compile(_suffix_regex(pattern[2:]) + r"\Z", re.DOTALL)
    found, at = "", 0
    while at < len(pattern):
        each = pattern[at]
        at += 1
        if each == "*" and pattern[at : at + 1] == "*":
            at += 1
            at += pattern[at : at + 1] == "/"
            found += "(?:.*/)?" if at < len(pattern) else ".*"
        elif each == "*":
            found += "[^/]*"
        elif each == "?":
            found += "[^/]"
        elif each == "\\" and at < len(pattern):
            found += re.escape(pattern[at])
            at += 1
        elif each in _RESERVED and not (each == "^" and pattern[at - 2 : at - 1] == "["):
            found += f"\\{each}"
        else:
            found += each
    try:
        return re.compile(found + r"\Z", re.DOTALL)
    except re.error as err:
        raise _malformed(pattern) from err


def _suffix_regex(suffix: str) -> str:
    """`**x` fits every path that ends so, `**/x` one that is just that, too."""
    if suffix.startswith("/"):
        return f"(?:.*/)?{re.escape(suffix[1:])}"
    return f".*{re.escape(suffix)}"


def expressions(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """All of `patterns`, as for ignore files."""
    return tuple(compile_ignored(pattern) for pattern in patterns)


def _malformed(pattern: str) -> Invalid:
    return Invalid(f"syntax error in pattern {pattern!r}", hint="a bracket is not closed, or empty")
