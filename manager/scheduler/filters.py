"""Rule nodes out, and be able to say how many each rule ruled out and what each node lacks.

A filter is a mask over the node table, with words. A node counts for the first filter that
refuses it, in the order of `NAMES`, so the numbers of an explanation add up to the nodes there
are. These here are filters that no placement of ours can change; `manager.scheduler.room` has
the others.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from msgspec import Struct

from manager.scheduler.asks import Ask
from manager.scheduler.columns import Int, Mask
from manager.scheduler.fleet import Fleet
from swarm.constraints import OWN_IDS, Constraint
from swarm.ids import NodeId
from swarm.specs import Platform, Taint, TaintEffect
from swarm.wishes import print_platform, print_taint, same_platform, unborne

NAMES = (
    "ready",
    "active",
    "avoid",
    "platform",
    "encryption",
    "constraint",
    "taint",
    "volume",
    "affinity",
    "port",
    "cpu",
    "memory",
    "generic",
    "max-replicas",
    "preemption",
)


class Filter(Struct, frozen=True):
    """`admits` over the node table; `phrase` tells of refused nodes, such as `3 nodes`.

    `detail` says of one refused row what it lacks, as what the node is or has.
    """

    name: str
    admits: Mask
    phrase: Callable[[str], str]
    detail: Callable[[int], str]


def standing_filters(
    fleet: Fleet, ask: Ask, *, avoid: frozenset[NodeId] = frozenset()
) -> Iterator[Filter]:
    """Filters that no placement of ours can change: what nodes are and what they can."""
    yield Filter(
        "ready",
        fleet.ready,
        lambda nodes: f"{nodes} not ready",
        lambda row: "is not heard of yet" if fleet.believed[row] else "is down",
    )
    yield Filter(
        "active",
        fleet.active,
        lambda nodes: f"{nodes} paused or drained",
        lambda row: f"has availability {fleet.node(row).spec.availability.word}",
    )
    if avoid:
        yield _avoiding(fleet, avoid)
    if ask.platforms:
        yield _platform(fleet, ask.platforms)
    if not fleet.encrypted.isdisjoint(ask.networks):
        yield _encryption(fleet)
    for constraint in ask.constraints:
        yield _constraint(fleet, constraint)
    if len(fleet.taints.values) > 1:
        yield _taint(fleet, ask)


def admitted(fleet: Fleet, ask: Ask, *, avoid: frozenset[NodeId] = frozenset()) -> Mask:
    """The nodes that pass the standing filters."""
    found = fleet.present.copy()
    for each in standing_filters(fleet, ask, avoid=avoid):
        found &= each.admits
    return found


def explain(present: Mask, filters: Iterable[Filter]) -> str:
    """Why no node is left, counting each node at the first filter that refuses it."""
    left = present.copy()
    reasons: list[str] = []
    for each in filters:
        refused = int(np.count_nonzero(left & ~each.admits))
        if refused:
            reasons.append(each.phrase("1 node" if refused == 1 else f"{refused} nodes"))
        left &= each.admits
    if not present.any():
        reasons.append("the swarm has no nodes")
    return f"no suitable node ({'; '.join(reasons)})"


def _avoiding(fleet: Fleet, avoid: frozenset[NodeId]) -> Filter:
    admits = np.ones(len(fleet.ids), np.bool_)
    admits[[fleet.rows[node_id] for node_id in avoid if node_id in fleet.rows]] = False
    return Filter("avoid", admits, lambda nodes: f"{nodes} to be left", lambda row: "is to be left")


def _platform(fleet: Fleet, platforms: tuple[Platform, ...]) -> Filter:
    systems, machines = fleet.attribute("node.platform.os"), fleet.attribute("node.platform.arch")
    admits = np.zeros(len(fleet.ids), np.bool_)
    for wish in platforms:
        os = systems.satisfies(partial(_runs, Platform(os=wish.os)))
        arch = machines.satisfies(partial(_is_machine, Platform(arch=wish.arch)))
        admits |= os & arch
    wished = " or ".join(map(print_platform, platforms))
    return Filter(
        "platform",
        admits,
        lambda nodes: f"image is for {wished}, unlike {nodes}",
        lambda row: f"is {systems.at(row)}/{machines.at(row)}, and the image is for {wished}",
    )


def _encryption(fleet: Fleet) -> Filter:
    return Filter(
        "encryption",
        fleet.encrypting,
        lambda nodes: f"no WireGuard for an encrypted network on {nodes}",
        lambda row: "has no WireGuard, which an encrypted network of the service needs",
    )


def _runs(wish: Platform, os: str) -> bool:
    return same_platform(wish, os=os, arch="")


def _is_machine(wish: Platform, arch: str) -> bool:
    return same_platform(wish, os="", arch=arch)


def _constraint(fleet: Fleet, constraint: Constraint) -> Filter:
    column = fleet.attribute(constraint.attribute)
    found = column.is_value(constraint.value)

    def detail(row: int) -> str:
        if constraint == OWN_IDS:
            return "remaps the ids of containers, which --userns host avoids"
        has = column.at(row)
        return f"has {constraint.attribute} {has!r}" if has else f"has no {constraint.attribute}"

    return Filter(
        "constraint",
        ~found if constraint.negated else found,
        _unsatisfied(constraint),
        lambda row: f"{detail(row)}, and {constraint} is asked for",
    )


def _unsatisfied(constraint: Constraint) -> Callable[[str], str]:
    if constraint == OWN_IDS:
        return lambda nodes: f"ids are remapped on {nodes}, which --userns host avoids"
    return lambda nodes: f"constraint {constraint} not satisfied on {nodes}"


def _taint(fleet: Fleet, ask: Ask) -> Filter:
    def against(taints: tuple[Taint, ...]) -> tuple[Taint, ...]:
        hard = TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE
        return unborne(ask.tolerations, taints, *hard)

    return Filter(
        "taint",
        fleet.taints.satisfies(lambda taints: not against(taints)),
        lambda nodes: f"taints not tolerated on {nodes}",
        lambda row: (
            "has the taint "
            + " and ".join(map(print_taint, against(fleet.taints.at(row))))
            + ", which is not tolerated"
        ),
    )


def disliked(fleet: Fleet, ask: Ask) -> Int:
    """How many taints each node has that ask for other nodes if there is a choice."""
    if len(fleet.taints.values) == 1:
        return np.zeros(len(fleet.ids), np.int64)
    soft = TaintEffect.PREFER_NO_SCHEDULE
    return fleet.taints.measured(lambda taints: len(unborne(ask.tolerations, taints, soft)))
