"""Offer the functions that templates may call, and print values as Go does."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from swarm.errors import Invalid

# What JSON can hold.
Value: TypeAlias = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"] | None

NO_VALUE = "<no value>"
_VERB = re.compile(r"%([-+ #0]*)(\d{0,3})(?:\.(\d{1,2}))?(.)", re.DOTALL)


def printed(value: Value) -> str:
    """`value` as Go prints it."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    return f"[{' '.join(map(printed, value))}]"


def items(value: Value) -> Sequence[Value]:
    """The elements of a list, or the values of a mapping."""
    return [each for _, each in entries(value)]


def entries(value: Value) -> Sequence[tuple[Value, Value]]:
    """What `range` goes through: the elements with their numbers, the values with their keys."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(enumerate(value))
    raise Invalid(f"template: {printed(value)!r} is no list", hint="range goes through lists")


def as_json(value: Value) -> str:
    """`value` as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(printed(key), "")
        else:
            value = items(value)[_number(key)]
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{printed(value)} is no number")
    return value


def _join(values: Value, separator: Value) -> Value:
    return printed(separator).join(map(printed, items(values)))


def _split(text: Value, separator: Value) -> Value:
    return printed(text).split(printed(separator))


def _len(value: Value) -> Value:
    return len(value) if isinstance(value, str) else len(items(value))


def _truncate(text: Value, length: Value) -> Value:
    return printed(text)[: _number(length)]


def _pad(text: Value, before: Value, after: Value) -> Value:
    return " " * _number(before) + printed(text) + " " * _number(after)


def _upper(text: Value) -> Value:
    return printed(text).upper()


def _lower(text: Value) -> Value:
    return printed(text).lower()


def _title(text: Value) -> Value:
    return printed(text).title()


def _print(*values: Value) -> Value:
    return "".join(map(printed, values))


def _println(*values: Value) -> Value:
    return " ".join(map(printed, values)) + "\n"


def _printf(template: Value, *values: Value) -> Value:
    left = list(values)

    def filled(verb: re.Match[str]) -> str:
        if verb[4] == "%":
            return "%"
        if not left:
            raise ValueError(f"nothing is left for {verb[0]}")
        return _formatted(left.pop(0), verb)

    text = _VERB.sub(filled, printed(template))
    if left:
        raise ValueError(f"no verb for {printed(left[0])!r}")
    return text


def _formatted(value: Value, verb: re.Match[str]) -> str:
    flags, width, precision, kind = verb.groups()
    if kind in ("v", "s"):
        text = printed(value)
        text = text[: int(precision)] if precision else text
    elif kind == "q":
        text = as_json(printed(value))
    elif kind in ("d", "x", "o", "b") and isinstance(value, int):
        text = format(value, f"{'+' if '+' in flags else ''}{kind}")
    elif kind in ("f", "g", "e") and isinstance(value, int | float):
        text = format(float(value), f"{'+' if '+' in flags else ''}.{precision or 6}{kind}")
    elif kind == "t" and isinstance(value, bool):
        text = printed(value)
    else:
        raise ValueError(f"{verb[0]} does not print {printed(value)!r}")
    if "-" in flags:
        return text.ljust(int(width or 0))
    return text.zfill(int(width)) if width and "0" in flags else text.rjust(int(width or 0))


def _compared(first: Value, second: Value) -> int:
    """Negative, 0 or positive, as with numbers."""
    if isinstance(first, str) and isinstance(second, str):
        return (first > second) - (first < second)
    if isinstance(first, int | float) and isinstance(second, int | float):
        return (first > second) - (first < second)
    raise ValueError(f"{printed(first)} and {printed(second)} cannot be compared")


def _eq(first: Value, *others: Value) -> Value:
    return first in others


def _ne(first: Value, second: Value) -> Value:
    return first != second


def _lt(first: Value, second: Value) -> Value:
    return _compared(first, second) < 0


def _le(first: Value, second: Value) -> Value:
    return _compared(first, second) <= 0


def _gt(first: Value, second: Value) -> Value:
    return _compared(first, second) > 0


def _ge(first: Value, second: Value) -> Value:
    return _compared(first, second) >= 0


def _not(value: Value) -> Value:
    return not value


def _and(*values: Value) -> Value:
    return next((each for each in values if not each), values[-1])


def _or(*values: Value) -> Value:
    return next((each for each in values if each), values[-1])


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "and": _and,
    "eq": _eq,
    "ge": _ge,
    "gt": _gt,
    "index": _index,
    "join": _join,
    "json": as_json,
    "le": _le,
    "len": _len,
    "lower": _lower,
    "lt": _lt,
    "ne": _ne,
    "not": _not,
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": _println,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": _upper,
}
