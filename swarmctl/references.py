"""Read `--secret` and `--config`: `NAME`, or `source=NAME,target=FILE,uid=0,gid=0,mode=0440`.

A spec refers to both by id, which whoever runs the command looks up: a secret that is removed
and made anew under the same name is another one.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from swarm.errors import Invalid, Missing
from swarm.specs import FileReference

_HINT = "write it like key.pem, or source=key.pem,target=tls/key.pem,uid=33,gid=33,mode=0400"
_SPELLINGS = {"src": "source", "dst": "target", "destination": "target"}


def parse_reference(text: str) -> FileReference:
    """What `text` refers to, by name and yet without an id."""
    if "=" not in text and "," not in text:
        if not text:
            raise Invalid("an empty name", hint=_HINT)
        return FileReference(name=text, target=text)
    found, seen = FileReference(), set[str]()
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        key = _SPELLINGS.get(key.strip().lower(), key.strip().lower())
        if not equals or not value:
            raise Invalid(f"{piece!r} in {text!r} is not KEY=VALUE", hint=_HINT)
        if key in seen:
            raise Invalid(f"{key} is given twice in {text!r}", hint=_HINT)
        seen.add(key)
        found = _with(found, key, value, text)
    if not found.name:
        raise Invalid(f"{text!r} has no source", hint=_HINT)
    return found if found.target else replace(found, target=found.name)


def with_ids(
    flag: str, wanted: tuple[FileReference, ...], ids: Mapping[str, str], *, kind: str
) -> tuple[FileReference, ...]:
    """The same with their ids; `ids` has those of the names that exist."""
    for each in wanted:
        if each.name not in ids:
            raise Missing(
                f"{flag}: no such {kind}: {each.name}",
                hint=f"make it with `swarmctl {kind} create {each.name} FILE`",
            )
    return tuple(replace(each, id=ids[each.name]) for each in wanted)


def _with(found: FileReference, key: str, value: str, text: str) -> FileReference:
    match key:
        case "source":
            return replace(found, name=value)
        case "target" | "uid" | "gid":
            return replace(found, **{key: value})
        case "mode":
            try:
                return replace(found, mode=int(value, 8))
            except ValueError as err:
                raise Invalid(f"mode={value} is not octal", hint="write it like 0440") from err
        case _:
            raise Invalid(f"unknown key {key!r} in {text!r}", hint=_HINT)
