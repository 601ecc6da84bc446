"""Split ENV, LABEL and ARG into words and pairs, quotes and all: filling in takes those away."""

from agent.build.source import BLANKS
from swarm.errors import Invalid


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """Words, with their quotes and escapes, split at blanks that neither hides."""
    found: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        each = text[at]
        at += 1
        if each == escape and quote != "'":
            hidden, at = text[at : at + 1], at + 1
            word += each + hidden if hidden else ""
        elif each.isspace() and not quote:
            found += [word] if word else []
            word = ""
        else:
            word += each
            quote = "" if each == quote else quote or (each if each in "'\"" else "")
    return tuple([*found, word] if word else found)


def pairs(text: str, keyword: str, escape: str) -> tuple[tuple[str, str], ...]:
    """`A=1 B=2`, or in the old form `A 1`, where all of the rest is the value."""
    words = split_words(text, escape)
    if not words:
        return ()
    if "=" not in words[0]:
        split = BLANKS.split(text, maxsplit=1)
        if len(split) < 2:
            raise Invalid(f"{keyword} must have two arguments")
        return ((split[0], split[1]),)
    found: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Invalid(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
            )
        found.append((name, value))
    return tuple(found)
