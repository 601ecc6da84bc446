"""Ask nodes what only they can know, before anything is changed.

Whether a bind source, a device or an image is there, and which fences a node has, is a matter
of each node. A request is refused only when every node that was asked reports the same
problem; one that did not answer in time reported nothing. What every node is to have, such as a
port that is published on all of them or the addresses of a network, one of them can refuse.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from manager.networks.pools import Taken
from manager.view import ClusterView
from swarm.constraints import parse_stored
from swarm.ids import NodeId
from swarm.specs import Availability, MountKind, TaskSpec
from swarm.states import NodeState

ASKED_AT_MOST = 100
ALL_ASKED_AT_MOST = 1000
_SHOWN = 3
_IMAGE = "container.image"
_OF_THE_NODE = re.compile(r"(?:ports|subnets)\[")

Answers = Mapping[NodeId, tuple[str, ...] | None]
"""Each asked node's problems; None from one that did not answer."""


def needs_nodes(task: TaskSpec) -> bool:
    """Whether only a node can tell if `task` would run."""
    container = task.container
    if container.devices or container.privileged or container.apparmor:
        return True
    return any(
        mount.kind is MountKind.BIND and "{{" not in mount.source for mount in container.mounts
    )


def eligible_nodes(view: ClusterView, task: TaskSpec) -> tuple[NodeId, ...]:
    """The ready nodes that could be given the task, in order of their ids."""
    constraints = parse_stored(task.placement.constraints)
    found = [
        node.id
        for node in view.nodes.values()
        if view.node_state(node.id) is NodeState.READY
        and node.spec.availability is Availability.ACTIVE
        and all(each.admits(node) for each in constraints)
    ]
    return tuple(sorted(found)[:ASKED_AT_MOST])


def ready_nodes(view: ClusterView) -> tuple[NodeId, ...]:
    """The nodes that a network or a published port comes to, in order of their ids."""
    ready = [each for each in view.nodes if view.node_state(each) is NodeState.READY]
    return tuple(sorted(ready)[:ALL_ASKED_AT_MOST])


def port_problems(
    view: ClusterView, answers: Answers, places: Sequence[int], *, everywhere: bool
) -> Iterator[str]:
    """What nodes say of ports, which are asked for in the order of their `places` in the spec.

    Ports that are not published `everywhere` are refused only when no node can have them.
    """
    for asked, place in enumerate(places):
        reports = dict(_about(answers, f"ports[{asked}]: "))
        if not reports or (not everywhere and len(reports) < len(answers)):
            continue
        reason = next(iter(reports.values()))
        nodes = _hostnames(view, reports) if everywhere else "every node that could run a task"
        yield f"endpoint.ports[{place}].published: {reason} (on {nodes})"


def hit_subnets(view: ClusterView, answers: Answers, subnets: Sequence[str]) -> tuple[Taken, ...]:
    """The subnets that hosts reach something else by, each with what it is and where."""
    found: list[Taken] = []
    for asked, subnet in enumerate(subnets):
        reports = dict(_about(answers, f"subnets[{asked}]: "))
        if reports:
            reason = next(iter(reports.values())).removeprefix(f"{subnet} hits ")
            whose = f"{reason} (on {_hostnames(view, reports)})"
            found.append(Taken(ip_network(subnet), whose))
    return tuple(found)


def _about(answers: Answers, start: str) -> Iterator[tuple[NodeId, str]]:
    for node_id in sorted(answers):
        for problem in answers[node_id] or ():
            if problem.startswith(start):
                yield node_id, problem.removeprefix(start)
                break


def _hostnames(view: ClusterView, nodes: Mapping[NodeId, str]) -> str:
    names = [view.nodes[each].description.hostname or each for each in nodes if each in view.nodes]
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def shared_problems(answers: Answers) -> tuple[str, ...]:
    """What every asked node reports, apart from a missing image, which a pull may bring."""
    reported = [answer or () for answer in answers.values()]
    if not reported:
        return ()
    everywhere = set(reported[0]).intersection(*reported[1:])
    return tuple(
        each
        for each in reported[0]
        if each in everywhere and _IMAGE not in each and not _OF_THE_NODE.match(each)
    )


def have_image(answers: Answers) -> bool:
    """Whether a node that answered has the image."""
    return any(
        answer is not None and not any(_IMAGE in problem for problem in answer)
        for answer in answers.values()
    )
