"""Read and write the YAML of stack files.

Scalars mean what they do in Docker's reader, not what YAML 1.1 says: `22:80` is text and no
sexagesimal number, a date is text, and only `true` and `false` are booleans. A key that is given
twice is refused, where others take the last one in silence.
"""

import re
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

import yaml

from swarm.errors import Invalid

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Document = dict[str, Value]

_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?0o[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)"
                      r"|[-+]?0x[0-9a-fA-F_]+")  # fmt: skip
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
                    r"|[-+]?[0-9][0-9_]*\.(?:[eE][-+]?[0-9]+)?"
                    r"|[-+]?[0-9]+[eE][-+]?[0-9]+")  # fmt: skip
_NULL = re.compile(r"~|null|Null|NULL|")


def read_document(text: bytes, *, name: str) -> Document:
    """The mapping in a file; `Invalid` names the file and the line."""
    try:
        found = yaml.load(text, Loader=_loader())
    except yaml.MarkedYAMLError as err:
        line = f":{err.problem_mark.line + 1}" if err.problem_mark else ""
        raise Invalid(
            f"{name}{line}: {err.problem or 'cannot be read'}", hint="mend the YAML there"
        ) from err
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise Invalid(f"{name}: not readable as YAML: {err}", hint="give a compose file") from err
    if not isinstance(found, dict) or not found:
        raise Invalid(f"{name}: no mapping at the top", hint="give a file with `services:`")
    return _document(found, name)


def write_document(document: Mapping[str, Value]) -> str:
    """The YAML of a document."""
    return yaml.dump(dict(document), Dumper=_dumper(), sort_keys=True, allow_unicode=True)


def _document(found: Any, name: str) -> Document:
    """`found` with text for keys; what refers to itself has no end and is refused."""
    document = _plain(found, name, ())
    assert isinstance(document, dict)
    return document


def _plain(value: Any, name: str, above: tuple[int, ...]) -> Value:
    is_mapping, is_list = (_is(value, kind) for kind in (dict, list))
    inner = (*above, id(value))
    if (is_mapping or is_list) and id(value) in above:
        raise Invalid(f"{name}: an alias contains itself", hint="write it out")
    if is_mapping:
        return {_key(key): _plain(each, name, inner) for key, each in value.items()}
    if is_list:
        return [_plain(each, name, inner) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise Invalid(f"{name}: {value!r} is of a kind that no stack file has", hint="write it as text")


def _is(value: object, kind: type) -> bool:
    """An `isinstance` that leaves what is in a container as unknown as it was."""
    return isinstance(value, kind)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _complaint(text: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


@cache
def _loader() -> type[yaml.SafeLoader]:
    class Loader(yaml.SafeLoader):
        """The safe loader with Docker's scalars."""

        yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - as its parent has it

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            seen = set[str]()
            for key, _ in node.value:
                if not isinstance(key.value, str):
                    raise _complaint("a key is a word", key)
                if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                    raise _complaint(f"{key.value} is given twice", key)
                seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    _resolve(Loader)
    return Loader


@cache
def _dumper() -> type[yaml.SafeDumper]:
    class Dumper(yaml.SafeDumper):
        """The safe dumper; a value that is there twice is written twice.

        It quotes what is no text to us, and what is none to others.
        """

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    _resolve(Dumper)
    return Dumper


def _resolve(reader: Any) -> None:
    for tag, pattern, first in (
        ("bool", _BOOLEAN, "tTfF"),
        ("float", _FLOAT, "-+0123456789."),
        ("int", _INTEGER, "-+0123456789"),
        ("merge", re.compile("<<"), "<"),
        ("null", _NULL, ["~", "n", "N", ""]),
    ):
        whole = re.compile(rf"(?:{pattern.pattern})\Z")
        reader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", whole, list(first))
