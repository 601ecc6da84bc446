"""Say what a container learns of those that it is linked to in the node's own bridge.

Nobody has a name there, so links are lines of /etc/hosts, and variables as Docker has had them
since before there were networks. In other networks links are nicknames, which the name service
answers.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

_OWN = ("HOME", "PATH", "HOSTNAME", "TERM")


class Linked(Struct, frozen=True, kw_only=True):
    """A container that another one is linked to, and what that one calls it.

    `exposed` are its ports (`80/tcp`), `env` what is set in it.
    """

    alias: str
    name: str
    hostname: str
    addresses: tuple[str, ...]
    exposed: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


def hosts(linked: Linked) -> tuple[str, ...]:
    """Its lines in the other's /etc/hosts."""
    names = " ".join(dict.fromkeys((linked.alias, linked.hostname, linked.name)))
    return tuple(f"{address}\t{names}" for address in linked.addresses)


def extras(linked: Linked) -> Iterator[str]:
    """The same when the file is made: NAMES:ADDRESS."""
    for line in hosts(linked):
        address, _, names = line.partition("\t")
        yield f"{names}:{address}"


def environment(owner: str, all_linked: Iterable[Linked]) -> Iterator[str]:
    """The variables of a container called `owner` because of them."""
    for each in all_linked:
        yield from _environment(owner, each)


def _environment(owner: str, linked: Linked) -> Iterator[str]:
    prefix = linked.alias.upper().replace("-", "_")
    address = next((each for each in linked.addresses if ":" not in each), "")
    ports = sorted({_port(each) for each in linked.exposed})
    for at, (number, protocol) in enumerate(ports):
        url = f"{protocol}://{address}:{number}"
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        if not at:
            yield f"{prefix}_PORT={url}"
        yield f"{name}={url}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{owner}/{linked.alias}"
    for each in linked.env:
        if "=" in each and each.partition("=")[0] not in _OWN:
            yield f"{prefix}_ENV_{each}"


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number.partition("-")[0]), protocol or "tcp"
