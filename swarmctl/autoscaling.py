"""Read `--autoscale min=2,max=20,cpu=60,up-window=0s,down-window=5m`.

`prometheus=QUERY:TARGET` has a query with commas and colons of its own: it ends where its
brackets and quotes are closed and a comma follows, and the target comes after its last colon.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.quantities import parse_duration
from swarm.specs import Autoscale

_HINT = "write it like min=2,max=20,cpu=60"
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'`"


def parse_autoscale(text: str) -> Autoscale:
    """The wish that `text` describes; least and most must be given."""
    wish, seen = Autoscale(), set[str]()
    for piece in _pieces(text):
        key, equals, value = piece.partition("=")
        key = key.strip().lower()
        if not equals or not value:
            raise Invalid(f"{piece!r} in {text!r} is not KEY=VALUE", hint=_HINT)
        if key in seen:
            raise Invalid(f"{key} is given twice in {text!r}", hint=_HINT)
        seen.add(key)
        wish = _with(wish, key, value.strip(), text)
    for key in ("min", "max"):
        if key not in seen:
            raise Invalid(f"{text!r} has no {key}", hint=_HINT)
    return wish


def _with(wish: Autoscale, key: str, value: str, text: str) -> Autoscale:
    match key:
        case "min":
            return replace(wish, least=_count(value, text))
        case "max":
            return replace(wish, most=_count(value, text))
        case "cpu":
            return replace(wish, cpu_percent=_number(value.removesuffix("%"), text))
        case "memory":
            return replace(wish, memory_percent=_number(value.removesuffix("%"), text))
        case "prometheus":
            query, colon, target = value.rpartition(":")
            if not colon or not query.strip():
                raise Invalid(f"prometheus={value} is not QUERY:TARGET", hint=_HINT)
            return replace(wish, query=query.strip(), target=_number(target, text))
        case "up-window":
            return replace(wish, up_window_s=parse_duration(value))
        case "down-window":
            return replace(wish, down_window_s=parse_duration(value))
        case _:
            raise Invalid(
                f"unknown key {key!r} in {text!r}",
                hint="there are min, max, cpu, memory, prometheus, up-window and down-window",
            )


def _pieces(text: str) -> Iterator[str]:
    piece, depth, quote = "", 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            yield piece
            piece = ""
            continue
        piece += letter
    if depth > 0 or quote:
        raise Invalid(f"{text!r}: a bracket or a quote is never closed", hint=_HINT)
    yield piece


def _count(value: str, text: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 10:
        raise Invalid(f"{value!r} in {text!r} is not a count", hint=_HINT)
    return int(value)


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as err:
        raise Invalid(f"{value!r} in {text!r} is not a number", hint=_HINT) from err
