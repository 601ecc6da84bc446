"""Read a client's JSON as Go does, into a value of ours.

Names count whatever their case, what is not known is passed over, and `null` is as if it had not
been said; inside a list or a map it is the emptiest value of its kind. A value of a wrong kind is
refused with the path to it.
"""

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from swarm.errors import Invalid

S = TypeVar("S", bound=Struct)

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Uint32 = Annotated[int, Meta(ge=0, lt=2**32)]
Uint16 = Annotated[int, Meta(ge=0, lt=2**16)]

Tidy = Callable[[Any], Any]


def decode(kind: type[S], body: bytes) -> S:
    """The value that `body` describes; an empty body is one of which nothing was said."""
    if not body.strip():
        return convert(kind, {})
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as err:
        raise Invalid(f"invalid JSON: {err}") from err
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise Invalid(f"invalid JSON: expected an object, got {_word(found)}")
    return convert(kind, _map(found))


def convert(kind: type[S], found: Mapping[str, Any]) -> S:
    """The value that decoded JSON describes."""
    try:
        return msgspec.convert(_tidier(kind)(found), kind)
    except (msgspec.ValidationError, RecursionError) as err:
        raise Invalid(_words(str(err))) from err


def _words(text: str) -> str:
    """msgspec's complaint with its path first: `HostConfig.Memory: expected int, got str`."""
    what, _, path = text.partition(" - at `")
    what = what.replace("`", "")
    what = what[:1].lower() + what[1:]
    path = path.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{path}: {what}" if path else f"invalid JSON: {what}"


def _word(value: object) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a string"
        case bool():
            return "a boolean"
        case _:
            return "a number"


@cache
def _tidier(annotation: Any) -> Tidy:
    """What brings decoded JSON into the shape that msgspec expects of a field."""
    hint = _bare(annotation)
    if _is_struct(hint):
        return _struct_tidier(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (tuple, list):
        return _list_tidier(arguments[0])
    if origin is dict:
        return _map_tidier(arguments[1])
    if origin in (Union, types.UnionType):
        return _union_tidier(arguments)
    return _as_it_is


def _struct_tidier(kind: type[Struct]) -> Tidy:
    hints = get_type_hints(kind, include_extras=True)
    fields = {
        field.encode_name.lower(): (field.encode_name, hints[field.name])
        for field in msgspec.structs.fields(kind)
    }

    def tidy(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        tidied: dict[str, Any] = {}
        for name, each in _map(value).items():
            known = fields.get(name.lower())
            if known is not None and each is not None:
                tidied[known[0]] = _tidier(known[1])(each)
        return tidied

    return tidy


def _list_tidier(item: Any) -> Tidy:
    tidy, empty = _tidier(item), _empty(item)

    def tidy_list(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [tidy(empty() if each is None else each) for each in _list(value)]

    return tidy_list


def _map_tidier(item: Any) -> Tidy:
    tidy, empty = _tidier(item), _empty(item)

    def tidy_map(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = _map(value)
        return {name: tidy(empty() if each is None else each) for name, each in found.items()}

    return tidy_map


def _list(value: Any) -> list[Any]:
    return value  # type: ignore[no-any-return]  # JSON's, as the caller saw


def _map(value: Any) -> dict[str, Any]:
    return value  # type: ignore[no-any-return]  # likewise


def _union_tidier(choices: tuple[Any, ...]) -> Tidy:
    """Of several kinds at most one is an object and one a list."""
    of_object: Tidy = _as_it_is
    of_list: Tidy = _as_it_is
    for choice in choices:
        if _is_struct(choice) or get_origin(choice) is dict:
            of_object = _tidier(choice)
        elif get_origin(choice) in (tuple, list):
            of_list = _tidier(choice)
    # Each passes over what is of another kind.
    return lambda value: of_list(of_object(value))


def _as_it_is(value: Any) -> Any:
    return value


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _empty(annotation: Any) -> Callable[[], Any]:
    """What Go makes of `null` where such a value belongs."""
    hint = _bare(annotation)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _nothing if types.NoneType in arguments else _empty(arguments[0])
    if origin in (tuple, list):
        return list[Any]
    if origin is dict or _is_struct(hint):
        return dict[str, Any]
    return _ZEROS.get(hint, _nothing)


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _nothing() -> None:
    return None


_ZEROS: dict[Any, Callable[[], Any]] = {str: str, int: int, bool: bool, float: float}
