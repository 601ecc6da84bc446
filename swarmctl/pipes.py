"""Offer the functions that templates may call, and print values as Go does."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from swarm.errors import Invalid

# What JSON can hold.
Value: TypeAlias = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"] | None

NO_VALUE = "<no value>"


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
    """What `range` goes through."""
    if isinstance(value, Mapping):
        return [value[key] for key in sorted(value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
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


def _eq(first: Value, *others: Value) -> Value:
    return first in others


def _ne(first: Value, second: Value) -> Value:
    return first != second


def _not(value: Value) -> Value:
    return not value


def _and(*values: Value) -> Value:
    return next((each for each in values if not each), values[-1])


def _or(*values: Value) -> Value:
    return next((each for each in values if each), values[-1])


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "and": _and,
    "eq": _eq,
    "index": _index,
    "join": _join,
    "json": as_json,
    "len": _len,
    "lower": _lower,
    "ne": _ne,
    "not": _not,
    "or": _or,
    "pad": _pad,
    "print": _print,
    "println": _println,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": _upper,
}
