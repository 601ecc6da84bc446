"""Lay several stack files over one another, the later over the earlier.

Mappings are merged key by key, and so are lists of `KEY=VALUE`. Other lists are joined: an
entry takes the place of an earlier one that is about the same thing (a mount with the same
target, a secret with the same source, a port with the same target), and equal entries are there
once. A command is one value, and the later one counts. What is in `null` stays as it was.
"""

from collections.abc import Callable, Hashable, Mapping

from swarmctl.stacks.documents import Document, Value

_PAIRED = frozenset(("environment", "labels", "sysctls", "driver_opts", "options"))
_WHOLE = frozenset(("command", "entrypoint", "test"))
_NAMED = frozenset(("networks", "depends_on"))


def merged(earlier: Document, later: Document) -> Document:
    """Both files as one; `earlier` may be empty."""
    return _mapping(earlier, later, depth=0)


def as_pairs(value: Value) -> Value:
    """A list of `KEY=VALUE` as a mapping; what is none stays as it is.

    A `KEY` alone has no value, which is not the same as an empty one.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return value
    found: Document = {}
    for text in value:
        key, equals, word = str(text).partition("=")
        found[key] = word if equals else None
    return found


def _mapping(earlier: Mapping[str, Value], later: Mapping[str, Value], *, depth: int) -> Document:
    """Below the section and the name of a thing, keys say how their values are merged."""
    done = dict(earlier)
    for key, value in later.items():
        if key in done and value is not None:
            done[key] = _both(key if depth > 1 else "", done[key], value, depth + 1)
        else:
            done.setdefault(key, value)
    return done


def _both(key: str, earlier: Value, later: Value, depth: int) -> Value:
    if key in _WHOLE:
        return later
    if key in _PAIRED:
        earlier, later = as_pairs(earlier), as_pairs(later)
    elif key in _NAMED and isinstance(earlier, list) != isinstance(later, list):
        earlier, later = _by_name(earlier), _by_name(later)
    if isinstance(earlier, dict) and isinstance(later, dict):
        if key == "logging" and earlier.get("driver") != later.get("driver", earlier.get("driver")):
            return later  # the options of one driver are not those of another
        return _mapping(earlier, later, depth=depth)
    if isinstance(earlier, list) and isinstance(later, list):
        return _joined(earlier, later, _SUBJECTS.get(key, str))
    return later


def _by_name(value: Value) -> Value:
    return {str(each): None for each in value} if isinstance(value, list) else value


def _joined(
    earlier: list[Value], later: list[Value], subject: Callable[[Value], Hashable]
) -> list[Value]:
    found = {subject(each): each for each in earlier}
    return [*(found | {subject(each): each for each in later}).values()]


def _mount(value: Value) -> Hashable:
    if isinstance(value, dict):
        return str(value.get("target"))
    source, colon, rest = str(value).partition(":")
    return rest.partition(":")[0] if colon else source


def _file(value: Value) -> Hashable:
    return str(value.get("source") if isinstance(value, dict) else value)


def _port(value: Value) -> Hashable:
    if not isinstance(value, dict):
        return str(value)
    return tuple(str(value.get(key)) for key in ("target", "published", "protocol", "host_ip"))


_SUBJECTS: Mapping[str, Callable[[Value], Hashable]] = {
    "volumes": _mount,
    "secrets": _file,
    "configs": _file,
    "ports": _port,
}
