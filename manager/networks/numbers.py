"""Number the nodes, for their addresses and marks in the networks follow from a number.

A number is a name: taken together with the node, and free again when the node is removed. The
lowest is given first, for the field that carries it is small.
"""

from collections.abc import Iterable

from manager import layout
from manager.store import Absent, Delete, Operation, Put, Unchanged
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Node


def free_number(view: ClusterView) -> int:
    """The lowest number that no node has."""
    taken = {node.number for node in view.nodes.values()}
    number = 1
    while number in taken or (layout.NUMBER_NAMES, str(number)) in view.names:
        number += 1
    return number


def number_key(number: int) -> str:
    """Where a number is taken."""
    return layout.name_key(layout.NUMBER_NAMES, str(number))


def take_number(number: int, node_id: NodeId) -> tuple[Absent, Put]:
    """What makes a number that of a node, which may be yet to come."""
    key = number_key(number)
    return Absent(key), Put(key, node_id.encode())


def give_up_number(
    view: ClusterView, node: Node
) -> tuple[Iterable[Unchanged], Iterable[Operation]]:
    """What frees the number of a node that is removed, if it has one."""
    if view.names.get((layout.NUMBER_NAMES, str(node.number))) != node.id:
        return (), ()
    key = number_key(node.number)
    return (Unchanged(key, view.version(key)),), (Delete(key),)
