"""Select things as `filters` says: JSON, by key a list of values or, of old, a map of switches.

A key that a list does not know is refused: one that selects everything would be dangerous in
front of `prune`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

import msgspec

from swarm.errors import Invalid

Filters = Mapping[str, tuple[str, ...]]
"""The values asked for, by key. Of one key any may hold, of several all must."""

T = TypeVar("T")
Test = Callable[[T, str], bool]
"""Whether a thing passes one value of a filter."""

_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")


def parse(text: str) -> Filters:
    """Read `filters`; empty is none. `Invalid` for what is not of its shape."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, list[str] | dict[str, bool] | None])
    except (msgspec.MsgspecError, UnicodeError) as err:
        raise Invalid(
            f"invalid filter: {err}", hint='write it like {"label":["key=value"]}'
        ) from err
    return {key: _values(given) for key, given in found.items()}


def _values(given: list[str] | dict[str, bool] | None) -> tuple[str, ...]:
    if isinstance(given, dict):
        return tuple(value for value, is_on in given.items() if is_on)
    return tuple(dict.fromkeys(given or ()))


def check(filters: Filters, known: Collection[str]) -> None:
    """Refuse a key that is not among `known`."""
    for key in filters:
        if key not in known:
            raise Invalid(f"invalid filter '{key}'", hint=f"there are {', '.join(sorted(known))}")


def selected(things: Iterable[T], filters: Filters, tests: Mapping[str, Test[T]]) -> list[T]:
    """The `things` that pass all `filters`; a key without a test is refused."""
    check(filters, tests)
    return [
        thing
        for thing in things
        if all(
            not values or any(tests[key](thing, value) for value in values)
            for key, values in filters.items()
        )
    ]


def truth(filters: Filters, key: str) -> bool | None:
    """What a filter says that is either true or false; None when it was not given."""
    if key not in filters:
        return None
    said = {value.lower() for value in filters[key]}
    if said and said <= set(_TRUE):
        return True
    if said and said <= set(_FALSE):
        return False
    raise Invalid(f"invalid filter '{key}={','.join(filters[key])}'", hint="write true or false")


def number(filters: Filters, key: str) -> int | None:
    """The whole number that a filter gives; None when it was not given."""
    text = ",".join(filters.get(key, ()))
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"invalid filter '{key}={text}'", hint="write one number")
    return int(text)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether `labels` hold `KEY`, or `KEY=VALUE`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def has_labels(labels: Mapping[str, str], filters: Filters, key: str = "label") -> bool:
    """Whether `labels` hold every one that is asked for: labels are not alternatives."""
    return all(has_label(labels, wanted) for wanted in filters.get(key, ()))
