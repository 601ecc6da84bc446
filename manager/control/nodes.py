"""Admit, change and remove nodes.

A node object is the membership: without it, the node's certificate is worth nothing. It
goes together with the node's session, so that nobody mistakes a removed node for a silent
one, and with its number. Tasks that were there are replaced by the planners.
"""

from msgspec import structs

from manager import layout
from manager.networks.numbers import free_number, give_up_number, take_number
from manager.store import Absent, Commit, Delete, Put, Unchanged
from manager.view import ClusterView
from swarm.checking.nodes import check_node
from swarm.codec import pack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import NodeId
from swarm.objects import Node, NodeDescription
from swarm.specs import Availability, NodeSpec, Role
from swarm.states import NodeState


def admit(
    view: ClusterView,
    node_id: NodeId,
    *,
    role: Role,
    hostname: str,
    availability: Availability,
    now: float,
) -> Commit:
    """Make a joiner a node; empty when an earlier answer to it was lost on the way."""
    if node_id in view.nodes:
        return Commit()
    if role is Role.MANAGER:
        raise Refused(
            "joining as a manager is not supported yet",
            hint="join as a worker with the worker token: swarmctl join-token worker",
        )
    number = free_number(view)
    node = Node(
        id=node_id,
        number=number,
        spec=NodeSpec(role=role, availability=availability),
        description=NodeDescription(hostname=hostname),
        created_at=now,
        updated_at=now,
        availability_at=now,
    )
    key = layout.node_key(node_id)
    is_free, taken = take_number(number, node_id)
    return Commit((Absent(key), is_free), (Put(key, pack(node)), taken))


def update(
    view: ClusterView, node_id: NodeId, version: int, spec: NodeSpec, *, now: float
) -> Commit:
    """Store a node's next spec; `version` 0 stands for whatever it is now."""
    node, key = view.nodes[node_id], layout.node_key(node_id)
    known = view.version(key)
    if version not in (0, known):
        raise Conflict(
            f"node {_name(node)}: update out of sequence: it was derived from version {version},"
            f" and the node is at version {known}",
            hint="someone changed the node meanwhile: look at it and repeat the command",
        )
    if problems := check_node(spec):
        raise Invalid(problems[0], problems=problems)
    _check_role(node, spec)
    if spec == node.spec:
        return Commit()
    is_moved = spec.availability is not node.spec.availability
    changed = structs.replace(
        node,
        spec=spec,
        updated_at=now,
        availability_at=now if is_moved else node.availability_at,
    )
    return Commit((Unchanged(key, known),), (Put(key, pack(changed)),))


def remove(view: ClusterView, node_id: NodeId, *, force: bool) -> Commit:
    """Delete a node and its session; `Refused` while it is ready, unless forced."""
    node = view.nodes[node_id]
    if node.spec.role is Role.MANAGER:
        raise Refused(
            f"node {_name(node)} is a manager and cannot be removed",
            hint="run `swarmctl leave --force` on it to dissolve the swarm",
        )
    if view.node_state(node_id) is NodeState.READY and not force:
        raise Refused(
            f"node {_name(node)} is ready and cannot be removed",
            hint="run `swarmctl leave` on it first, or give --force",
        )
    key = layout.node_key(node_id)
    is_own, freed = give_up_number(view, node)
    return Commit(
        (Unchanged(key, view.version(key)), *is_own),
        (Delete(key), Delete(layout.session_key(node_id)), *freed),
    )


def _check_role(node: Node, spec: NodeSpec) -> None:
    if spec.role is node.spec.role:
        return
    if spec.role is Role.MANAGER:
        raise Refused(
            f"node {_name(node)} cannot be promoted yet: promotion comes with multi-manager support"
        )
    raise Refused(
        f"node {_name(node)} is the last manager of the swarm and cannot be demoted",
        hint="`swarmctl leave --force` on it ends the swarm",
    )


def _name(node: Node) -> str:
    return node.description.hostname or node.id
