"""Match names the way Docker's filters do: a value is a regular expression, or the name itself."""

import re


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` is `text`, or found in it."""
    if text == pattern:
        return True
    try:
        return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        return False
