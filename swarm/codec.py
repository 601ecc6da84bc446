"""Translate between our values and protobuf, derived from the names.

A value and its message have the same class name and the same field names, so the codec is
derived once per class and a new field costs a line in `.proto` and a line in the model. A
field that is absent on the wire takes the default of *our* class, not protobuf's zero: only
sub-messages can be absent, and the encoder always writes them.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import cache
from types import ModuleType, NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from google.protobuf.message import DecodeError, Message
from msgspec import Struct

from swarm.api.v1 import containers_pb2, dispatch_pb2, objects_pb2, specs_pb2
from swarm.errors import Invalid

S = TypeVar("S", bound=Struct)

_MODULES: tuple[ModuleType, ...] = (specs_pb2, objects_pb2, dispatch_pb2, containers_pb2)

Write = Callable[[Any, Any], None]
Read = Callable[[Any], Any]


def pack(value: Struct) -> bytes:
    """Serialise `value` as the message of its name."""
    data: bytes = to_message(value).SerializeToString()
    return data


def unpack(kind: type[S], data: bytes) -> S:
    """Parse a message of `kind`'s name; `Invalid` when `data` is not one."""
    message = message_class(kind)()
    try:
        message.ParseFromString(data)
    except DecodeError as err:
        raise Invalid(f"not a {kind.__name__} message: {err}") from err
    return from_message(kind, message)


def to_message(value: Struct) -> Any:
    """Make the protobuf message that mirrors `value`."""
    message = message_class(type(value))()
    for write in _writers(type(value)):
        write(value, message)
    return message


def from_message(kind: type[S], message: Message) -> S:
    """Make the value of `kind` that `message` mirrors; `Invalid` for an unknown enum number."""
    try:
        return kind(**{name: read(message) for name, read in _readers(kind)})
    except ValueError as err:
        raise Invalid(f"{kind.__name__}: {err}") from err


@cache
def message_class(kind: type[Struct]) -> type[Message]:
    """The protobuf class with the name of `kind`."""
    for module in _MODULES:
        found: type[Message] | None = getattr(module, kind.__name__, None)
        if found is not None:
            return found
    raise AssertionError(f"no message is named {kind.__name__}")


@cache
def _writers(kind: type[Struct]) -> tuple[Write, ...]:
    hints = get_type_hints(kind)
    return tuple(_writer(name, hints[name]) for name in kind.__struct_fields__)


@cache
def _readers(kind: type[Struct]) -> tuple[tuple[str, Read], ...]:
    hints = get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    return tuple((f.name, _reader(f, hints[f.name])) for f in fields)


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else ()


def _fill(value: Struct, message: Any) -> None:
    message.SetInParent()
    for write in _writers(type(value)):
        write(value, message)


def _writer(name: str, hint: Any) -> Write:
    if _is_struct(hint):
        return lambda value, message: _fill(getattr(value, name), getattr(message, name))
    if get_origin(hint) is tuple:
        return _tuple_writer(name, get_args(hint)[0])
    if get_origin(hint) is dict:
        return lambda value, message: getattr(message, name).update(getattr(value, name))
    if alternatives := _alternatives(hint):
        return _optional_writer(name) if NoneType in alternatives else _union_writer(name)
    return lambda value, message: setattr(message, name, getattr(value, name))


def _tuple_writer(name: str, item: Any) -> Write:
    def write_structs(value: Any, message: Any) -> None:
        repeated = getattr(message, name)
        for each in getattr(value, name):
            _fill(each, repeated.add())

    def write_scalars(value: Any, message: Any) -> None:
        getattr(message, name).extend(getattr(value, name))

    return write_structs if _is_struct(item) else write_scalars


def _optional_writer(name: str) -> Write:
    def write(value: Any, message: Any) -> None:
        if (found := getattr(value, name)) is not None:
            _fill(found, getattr(message, name))

    return write


def _union_writer(name: str) -> Write:
    def write(value: Any, message: Any) -> None:
        chosen = getattr(value, name)
        _fill(chosen, getattr(message, type(chosen).__name__.lower()))

    return write


def _reader(field: msgspec.structs.FieldInfo, hint: Any) -> Read:
    name = field.name
    if _is_struct(hint):
        return _struct_reader(name, hint, field.default)
    if get_origin(hint) is tuple:
        return _tuple_reader(name, get_args(hint)[0])
    if get_origin(hint) is dict:
        return lambda message: dict(getattr(message, name))
    if alternatives := _alternatives(hint):
        if NoneType in alternatives:
            kind = next(each for each in alternatives if each is not NoneType)
            return _struct_reader(name, kind, None)
        return _union_reader(name, alternatives, field.default)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return lambda message: hint(getattr(message, name))
    return lambda message: getattr(message, name)


def _struct_reader(name: str, kind: type[Struct], default: Any) -> Read:
    def read(message: Any) -> Any:
        if message.HasField(name) or default is msgspec.NODEFAULT:
            return from_message(kind, getattr(message, name))
        return default

    return read


def _tuple_reader(name: str, item: Any) -> Read:
    if _is_struct(item):
        return lambda message: tuple(from_message(item, each) for each in getattr(message, name))
    if isinstance(item, type) and issubclass(item, IntEnum):
        return lambda message: tuple(map(item, getattr(message, name)))
    return lambda message: tuple(getattr(message, name))


def _union_reader(name: str, alternatives: tuple[Any, ...], default: Any) -> Read:
    kinds = {each.__name__.lower(): each for each in alternatives}

    def read(message: Any) -> Any:
        chosen = message.WhichOneof(name)
        return default if chosen is None else from_message(kinds[chosen], getattr(message, chosen))

    return read
