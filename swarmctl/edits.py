"""Edit fields, lists and mappings as flags do.

A flag that was not given is `None` and leaves its field alone. Of a pair such as `--env-rm` and
`--env-add` the removal comes first, and what is added replaces what has the same key, in its
place.
"""

import shlex
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from swarm.errors import Invalid

S = TypeVar("S", bound=Struct)
V = TypeVar("V")


def with_given(value: S, **fields: object) -> S:
    """`value` with the fields that are not `None`."""
    return replace(value, **{name: each for name, each in fields.items() if each is not None})


def edited(
    old: Iterable[V], gone: Iterable[V], new: Iterable[V], *, key: Callable[[V], Hashable]
) -> tuple[V, ...]:
    """`old` without `gone`, and with `new` in the place of what has the same key."""
    removed = {key(each) for each in gone}
    kept = {key(each): each for each in old if key(each) not in removed}
    return tuple((kept | {key(each): each for each in new}).values())


def keyed(
    old: Iterable[V], gone: Iterable[str], new: Iterable[V], *, key: Callable[[V], str]
) -> tuple[V, ...]:
    """The same where the removal names keys."""
    removed = set(gone)
    return edited((each for each in old if key(each) not in removed), (), new, key=key)


def without(old: Mapping[str, str], gone: Iterable[str]) -> dict[str, str]:
    """A mapping without some of its keys."""
    removed = set(gone)
    return {key: value for key, value in old.items() if key not in removed}


def pairs(flag: str, texts: Iterable[str], *, needs_value: bool = False) -> dict[str, str]:
    """`KEY[=VALUE]` each."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or (needs_value and not equals):
            raise Invalid(f"{flag} {text!r} is not KEY=VALUE", hint=f"write {flag} KEY=VALUE")
        found[key] = value
    return found


def words(text: str) -> tuple[str, ...]:
    """The words of a command, as a shell splits them."""
    try:
        return tuple(shlex.split(text))
    except ValueError as err:
        raise Invalid(f"{text!r}: {err}", hint="close every quote") from err


def read(flag: str, parse: Callable[[str], V], text: str) -> V:
    """What `parse` makes of `text`; its `Invalid` names the flag."""
    try:
        return parse(text)
    except Invalid as err:
        raise Invalid(f"{flag}: {err.message}", hint=err.hint) from err


def read_all(flag: str, parse: Callable[[str], V], texts: Iterable[str]) -> tuple[V, ...]:
    """The same for a flag that may be repeated."""
    return tuple(read(flag, parse, text) for text in texts)
