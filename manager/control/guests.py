"""Let containers of single nodes into attachable networks, and out again.

Whoever asks is a node's agent, and speaks for its own node: a container that another node has is
none of its business, unless that node has left the swarm. What a guest is called must be fit for
names in the network; a service of that name has it first (`agent.dns.zones`).
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from msgspec import structs

from manager import layout
from manager.control.networks import relying_on
from manager.store import Absent, Commit, Compare, Delete, Put, Unchanged
from manager.view import ClusterView
from swarm.checking.basics import is_hostname
from swarm.codec import pack
from swarm.errors import Invalid, Refused
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Guest

MOST_ALIASES = 64

_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")


def admit(view: ClusterView, asked: Guest, *, now: float) -> Commit:
    """Have a container be in the network that it asks for; empty where it has all it asks for."""
    _check(asked)
    network = view.networks[asked.network_id]
    if not network.spec.attachable or network.spec.ingress:
        raise Refused(
            f"network {network.spec.name} not manually attachable",
            hint="it takes in services only; make one with --attachable",
        )
    known = view.guests.get((asked.id, asked.network_id))
    if known is not None and known.node_id != asked.node_id and known.node_id in view.nodes:
        raise Refused(f"container {asked.id} is not this node's")
    if known is not None and known.node_id == asked.node_id and _has_all(known, asked):
        named = structs.replace(known, name=asked.name, aliases=asked.aliases)
        if named == known:
            return Commit()
        guest = structs.replace(named, updated_at=now)
    else:
        created_at = known.created_at if known is not None else now
        guest = structs.replace(asked, created_at=created_at, updated_at=now)
    key, node = layout.guest_key(asked.id, asked.network_id), layout.node_key(asked.node_id)
    is_member = Unchanged(node, view.version(node))
    commit = Commit((_expected(view, key), is_member), (Put(key, pack(guest)),))
    return relying_on(view, commit, (asked.network_id,))


def release(
    view: ClusterView, node_id: NodeId, container_id: TaskId, network_id: NetworkId | None
) -> Commit:
    """Have a container of a node be in a network no more; in none without a `network_id`."""
    keys = [
        layout.guest_key(each.id, each.network_id)
        for each in view.stays_of(container_id)
        if each.node_id == node_id and network_id in (None, each.network_id)
    ]
    return Commit(
        tuple(Unchanged(key, view.version(key)) for key in keys),
        tuple(Delete(key) for key in keys),
    )


def _has_all(known: Guest, asked: Guest) -> bool:
    return bool(known.addresses) and set(asked.wanted) <= set(known.addresses)


def _check(asked: Guest) -> None:
    if problems := tuple(_problems(asked)):
        raise Invalid(problems[0], problems=problems)


def _problems(asked: Guest) -> Iterator[str]:
    if not _ID.fullmatch(asked.id):
        yield f"container_id: {asked.id!r} is not the id of a container"
    if not _NAME.fullmatch(asked.name):
        yield f"name: {asked.name!r} is not the name of a container"
    if len(asked.aliases) > MOST_ALIASES:
        yield f"aliases: {len(asked.aliases)} are too many; {MOST_ALIASES} do"
    for index, each in enumerate(asked.aliases[:MOST_ALIASES]):
        if not is_hostname(each.replace("_", "-")):
            yield f"aliases[{index}]: {each!r} is not a name for DNS"
    yield from _addresses(asked.wanted)


def _addresses(wanted: Iterable[str]) -> Iterator[str]:
    families = list[int]()
    for index, each in enumerate(wanted):
        try:
            families.append(ip_address(each).version)
        except ValueError:
            yield f"addresses[{index}]: {each!r} is not an address"
    if len(families) != len(set(families)):
        yield "addresses: one of each family will do"


def _expected(view: ClusterView, key: str) -> Compare:
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)
