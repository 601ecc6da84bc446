"""Have tasks of lower priority give way to those of this plan that fit nowhere.

What is to give way is stopped by the plan of the service that needs its place, in the same
commit that says so; that service's own plan then finds its tasks stopped, as after a drain. The
tasks that need the place wait for it without a node: they are placed when there is room, by a
plan that the victims' end calls for, and services of higher priority are planned first.
"""

from collections.abc import Collection, Iterator, Mapping

from msgspec import structs

from manager.orchestrator.draft import Draft
from manager.scheduler.asks import Ask
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import Home
from manager.scheduler.placement import Placement
from manager.scheduler.preempting import Preemption, preempt, preempted_by
from manager.view import ClusterView
from swarm.ids import NodeId


def make_room(
    view: ClusterView,
    fleet: Fleet,
    ask: Ask,
    placed: Placement,
    draft: Draft,
    *,
    leaving: Mapping[NodeId, int],
    avoid: frozenset[NodeId],
    homes: Mapping[int, Home],
) -> Mapping[int, str]:
    """What those without a node wait for by now, of those that somebody gives way to."""
    missing = [index for index, node_id in enumerate(placed.by_task) if not node_id]
    if not missing or not outranks(fleet, ask):
        return {}
    found: dict[int, str] = {}
    for home in sorted({homes[index] for index in missing if index in homes}, key=_by_name):
        waiting = [index for index in missing if homes.get(index) == home]
        told = preempt(
            fleet, view, ask, placed, len(waiting), leaving=leaving, avoid=avoid, only=home.nodes
        )
        found |= dict(zip(waiting, _carry_out(told, ask, draft), strict=False))
    if found:  # the others would not see who is stopped for these, and have their turn next
        return found
    waiting = [index for index in missing if index not in homes]
    told = preempt(fleet, view, ask, placed, len(waiting), leaving=leaving, avoid=avoid)
    return dict(zip(waiting, _carry_out(told, ask, draft), strict=False))


def make_room_on(
    view: ClusterView, fleet: Fleet, ask: Ask, nodes: Collection[NodeId], draft: Draft
) -> None:
    """Clear room for one task on each of these nodes that has none."""
    if nodes and outranks(fleet, ask):
        one_each = structs.replace(ask, max_per_node=1)
        nothing = Placement.nowhere(len(nodes))
        told = preempt(fleet, view, one_each, nothing, len(nodes), only=nodes)
        for _ in _carry_out(told, ask, draft):
            pass


def outranks(fleet: Fleet, ask: Ask) -> bool:
    """Whether anybody has a lower priority."""
    return any(load.ask.priority < ask.priority for load in fleet.loads())


def _carry_out(told: tuple[Preemption, ...], ask: Ask, draft: Draft) -> Iterator[str]:
    """What each task that gets a place in this way waits for."""
    for each in told:
        for victim in each.victims:
            draft.preempt(victim, preempted_by(ask.name))
    for each in told:
        yield from [each.message] * each.tasks


def _by_name(home: Home) -> tuple[str, tuple[NodeId, ...]]:
    return home.volume, home.nodes
