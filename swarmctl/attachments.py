"""Read `--network`: `NAME`, or `name=NAME,alias=A,alias=B`, and see which network a name means.

Specs refer to networks by id. A new service may give names, which the manager looks up; to change
one that there is, the names have to be known beforehand: what is added replaces what has the same
id.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import NetworkAttachment
from swarmctl.edits import keyed

_HINT = "write it like back, or name=back,alias=db,alias=cache"


def parse_attachment(text: str) -> NetworkAttachment:
    """The network that `text` names, and the aliases there."""
    if "=" not in text:
        if not text.strip() or "," in text:
            raise Invalid(f"{text!r} names no network", hint=_HINT)
        return NetworkAttachment(target=text)
    name, aliases = "", list[str]()
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        key = key.strip().lower()
        if not equals or not value:
            raise Invalid(f"{piece!r} in {text!r} is not KEY=VALUE", hint=_HINT)
        match key:
            case "name" if name:
                raise Invalid(f"name is given twice in {text!r}", hint=_HINT)
            case "name":
                name = value
            case "alias":
                aliases.append(value)
            case "driver-opt":
                raise Invalid(
                    f"{piece} in {text!r}: networks have no options for single services",
                    hint="give options to the network itself: swarmctl network create --opt",
                )
            case _:
                raise Invalid(f"unknown key {key!r} in {text!r}", hint=_HINT)
    if not name:
        raise Invalid(f"{text!r} has no name", hint=_HINT)
    return NetworkAttachment(target=name, aliases=tuple(aliases))


def changed(
    old: Iterable[NetworkAttachment],
    gone: Iterable[NetworkAttachment],
    new: Iterable[NetworkAttachment],
    *,
    ids: Mapping[str, str],
) -> tuple[NetworkAttachment, ...]:
    """`old` without `gone` and with `new`; `ids` are those of networks by their names."""
    targets = [each.target for each in with_ids(gone, ids)]
    return keyed(old, targets, with_ids(new, ids), key=lambda each: each.target)


def with_ids(
    attachments: Iterable[NetworkAttachment], ids: Mapping[str, str]
) -> tuple[NetworkAttachment, ...]:
    """The same with ids; a name that nothing has stays, and the manager says so."""
    return tuple(
        each
        if each.target in ids.values()
        else replace(each, target=ids.get(each.target, each.target))
        for each in attachments
    )
