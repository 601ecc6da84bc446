"""Read a config.json whole: a `Config`, or everything that is wrong with it at once.

A file that decodes as it stands is only checked. One that does not is read a second time,
value by value: where a value is of the wrong type, an empty one takes its place, so that the
rest can still be judged, and what only follows from such a stand-in is not reported. JSON's
null means that a property is absent, as Go writes it; unknown properties are ignored.
"""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from runtime.oci import checks
from runtime.oci.config import Config, Process, Resources
from runtime.oci.problem import Problem, refuse
from swarm.errors import Invalid

_T = TypeVar("_T", bound=Struct)
_Json: TypeAlias = "str | int | float | list[_Json] | dict[str, _Json] | None"
# Podman's are 20 KiB; what is longer than this is not a config.
LARGEST_BYTES: Final = 16 * 1024 * 1024


def read_config(text: bytes | str) -> Config:
    """Raise `Invalid` with every problem of the file."""
    return read("config.json", text, Config, checks.problems)


def read_process(text: bytes | str) -> Process:
    """The process of an `exec`, which is a file of its own."""
    return read("process", text, Process, checks.process_problems)


def read_resources(text: bytes | str) -> Resources:
    """The resources of an `update`."""
    return read("resources", text, Resources, checks.resources_problems)


def read(name: str, text: bytes | str, kind: type[_T], check: Callable[[_T], list[Problem]]) -> _T:
    """Any file of this kind: its structs, and what finds the problems of a value."""
    try:
        raw = text.encode() if isinstance(text, str) else text
        if len(raw) > LARGEST_BYTES:
            raise Invalid(f"{name}: is longer than {LARGEST_BYTES} bytes")
        try:
            value, wrong = msgspec.json.decode(raw, type=kind), list[Problem]()
        except msgspec.ValidationError:
            document: _Json = msgspec.json.decode(raw)
            if not isinstance(document, dict):
                raise Invalid(f"{name}: must be an object, is {_named(document)}") from None
            reader = _Reader()
            value, wrong = reader.struct("", document, kind), reader.wrong
    except (msgspec.DecodeError, UnicodeError) as err:
        raise Invalid(f"{name}: {err}", hint="write JSON, in UTF-8") from err
    except RecursionError as err:
        raise Invalid(f"{name}: is nested too deeply") from err
    problems = wrong + [each for each in check(value) if not _follows(each, wrong)]
    refuse(name, problems)
    return value


def _follows(problem: Problem, wrong: list[Problem]) -> bool:
    """Whether it may be about a stand-in, above or below it, or rests on one."""
    return any(
        _is_within(path, each.path) or _is_within(each.path, path)
        for each in wrong
        for path in (problem.path, problem.because)
        if path
    )


def _is_within(path: str, whole: str) -> bool:
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


class _Reader:
    """Turns plain JSON values into structs; `wrong` is what did not fit."""

    def __init__(self) -> None:
        self.wrong: list[Problem] = []

    def struct(self, path: str, raw: dict[str, _Json], kind: type[_T]) -> _T:
        fields: dict[str, object] = {}
        for field in msgspec.structs.fields(kind):
            where = f"{path}.{field.encode_name}" if path else field.encode_name
            value = raw.get(field.encode_name)
            if value is not None:
                fields[field.name] = self._value(where, value, field.type)
            elif field.required:
                fields[field.name] = self._refuse(where, "is missing", field.type)
        return kind(**fields)

    def _value(self, path: str, raw: _Json, wanted: Any) -> object:
        if get_origin(wanted) is UnionType:
            (wanted,) = (each for each in get_args(wanted) if each is not NoneType)
        origin = get_origin(wanted) or wanted
        if origin is Any:
            return raw
        expected = _JSON.get(origin, dict)
        if not isinstance(raw, expected) or (isinstance(raw, bool) and expected is int):
            return self._refuse(path, f"must be {_NAMES[expected]}, is {_named(raw)}", wanted)
        if isinstance(raw, list):
            return tuple(self._items(path, raw, get_args(wanted)[0]))
        if not isinstance(raw, dict):
            return raw
        if origin is dict:
            inner = get_args(wanted)[1]
            return {
                name: self._value(f"{path}[{name}]", value, inner)
                for name, value in raw.items()
                if value is not None
            }
        return self.struct(path, raw, origin)

    def _items(self, path: str, raw: list[_Json], wanted: Any) -> list[object]:
        return [
            self._value(f"{path}[{number}]", value, wanted)
            if value is not None
            else self._refuse(f"{path}[{number}]", "must not be null", wanted)
            for number, value in enumerate(raw)
        ]

    def _refuse(self, path: str, text: str, wanted: Any) -> object:
        self.wrong.append(Problem(path, text))
        return _stand_in(wanted)


_JSON: Final[dict[Any, Any]] = {str: str, int: int, bool: bool, tuple: list, dict: dict}
_NAMES: Final[dict[Any, str]] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "an array",
    dict: "an object",
}


def _named(raw: _Json) -> str:
    if isinstance(raw, float):
        return f"the number {raw}"
    return "null" if raw is None else _NAMES[type(raw)]


def _stand_in(wanted: Any) -> object:
    """An empty value of this type."""
    if get_origin(wanted) is UnionType:
        return None
    origin = get_origin(wanted) or wanted
    if isinstance(origin, type) and issubclass(origin, Struct):
        required = {f.name: _stand_in(f.type) for f in msgspec.structs.fields(origin) if f.required}
        return origin(**required)
    return origin()
