"""Make JSON that has the right names and whatever else clients may come up with."""

import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

ODD = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 2**70, 0.5, 1e300, "", "x", "\0", "é漢",
     "9" * 30, "10.0.0.0/8", "{{.Task.Slot}}", "{{", [], {}, ["x", None], {"x": None}]
)  # fmt: skip


def documents(kind: type[Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the fields of `kind`, mostly of their own kinds."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {
        field.encode_name: _values(hints[field.name]) for field in msgspec.structs.fields(kind)
    }
    return st.fixed_dictionaries({}, optional=fields)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda die: ODD if die == 20 else _own(hint))


def _own(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _own(arguments[0])
    if isinstance(hint, type) and issubclass(hint, Struct):
        return documents(hint)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(st.sampled_from(["", "a", "a b", "a="]), _values(arguments[1]))
    if origin in (Union, types.UnionType):
        return st.one_of(
            *(_own(each) for each in arguments if each is not types.NoneType), st.none()
        )
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=4) | st.sampled_from(["any", "vip", "bind", "CHOWN", "80"]),
        int: st.integers(-(2**33), 2**64) | st.integers(0, 100),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bytes: st.sampled_from(["", "e30=", "!"]),
    }
    return plain.get(hint, ODD)
