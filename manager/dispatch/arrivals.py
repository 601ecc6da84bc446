"""Take a node's session in one commit: the session, what it did meanwhile, what it is.

The session key is the handover. From its revision on, only this session's manager writes
what the node observes, and no task that the node can know of is younger, so once the view
has come that far it can answer the agent. The description is the one part of a node object
that does not come from an operator; it is put by whoever holds the session, on the condition
that nobody changed the object since it was read.
"""

from msgspec import structs

from manager import layout
from manager.dispatch.statuses import admit, expected, observed, unchanged
from manager.store import Commit, Compare, LeaseId, Operation, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.dispatch import Hello
from swarm.ids import NodeId
from swarm.objects import NodeDescription, Session


def arrive(
    view: ClusterView, hello: Hello, session: Session, *, lease: LeaseId, now: float
) -> Commit:
    """Open `session` for a node that exists in the view."""
    node_id = session.node_id
    key = layout.node_key(node_id)
    opened, statuses = layout.session_key(node_id), admit(view, node_id, hello.statuses)
    compares: list[Compare] = [Unchanged(key, view.version(key)), expected(view, opened)]
    compares += unchanged(view, node_id, statuses)
    operations: list[Operation] = [Put(opened, pack(session), lease)]
    operations += described(view, node_id, hello.description, now=now)
    operations += observed(node_id, statuses)
    return Commit(tuple(compares), tuple(operations))


def describe(
    view: ClusterView, node_id: NodeId, description: NodeDescription, *, now: float
) -> Commit:
    """Store what an agent says of its host; empty when nothing is new."""
    key = layout.node_key(node_id)
    operations = described(view, node_id, description, now=now)
    return Commit((Unchanged(key, view.version(key)),) if operations else (), operations)


def described(
    view: ClusterView, node_id: NodeId, description: NodeDescription, *, now: float
) -> tuple[Operation, ...]:
    """The write of a changed description, to be compared with the node's version."""
    node = view.nodes[node_id]
    if node.description == description:
        return ()
    changed = structs.replace(node, description=description, updated_at=now)
    return (Put(layout.node_key(node_id), pack(changed)),)
