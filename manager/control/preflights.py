"""Ask nodes what only they can know, before anything is changed.

Whether a bind source, a device or an image is there, and which fences a node has, is a matter
of each node. A request is refused only when every node that was asked reports the same
problem; one that did not answer in time reported nothing.
"""

from collections.abc import Mapping

from manager.view import ClusterView
from swarm.constraints import parse_stored
from swarm.ids import NodeId
from swarm.specs import Availability, MountKind, TaskSpec
from swarm.states import NodeState

ASKED_AT_MOST = 100
_IMAGE = "container.image"

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


def shared_problems(answers: Answers) -> tuple[str, ...]:
    """What every asked node reports, apart from a missing image, which a pull may bring."""
    reported = [answer or () for answer in answers.values()]
    if not reported:
        return ()
    everywhere = set(reported[0]).intersection(*reported[1:])
    return tuple(each for each in reported[0] if each in everywhere and _IMAGE not in each)


def have_image(answers: Answers) -> bool:
    """Whether a node that answered has the image."""
    return any(
        answer is not None and not any(_IMAGE in problem for problem in answer)
        for answer in answers.values()
    )
