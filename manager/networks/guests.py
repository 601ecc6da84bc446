"""Keep the guests of attachable networks: containers of single nodes that are no tasks.

A guest is a container in a network, as its node's agent asked through any manager. It has no
address until the leader gives it one, by a decision of its own: addresses have one giver. What
cannot be given is said in its message, and whoever asked takes it back. It goes when its node
says so, or has left the swarm.
"""

from collections.abc import Iterator

from manager.decisions import Decision, PlaceGuest, RemoveGuest
from manager.decoding import GuestKey
from manager.networks.addresses import Addresses, Shortage
from manager.view import ClusterView
from swarm.ids import NodeId


def plan_guest(view: ClusterView, key: GuestKey, addresses: Addresses) -> Decision | None:
    """What becomes of one guest, if anything has to."""
    guest = view.guests.get(key)
    if guest is None:
        return None
    if guest.node_id not in view.nodes:
        return RemoveGuest(*key)
    if guest.addresses or guest.message:
        return None
    found = addresses.admit(guest.network_id, guest.name, guest.wanted)
    if isinstance(found, Shortage):
        return PlaceGuest(*key, message=found.reason)
    return PlaceGuest(*key, addresses=found)


def forgotten(view: ClusterView, node_id: NodeId) -> Iterator[Decision]:
    """The guests of a node that nothing is left of: it is gone, or they were told no."""
    for key, guest in sorted(view.guests_on(node_id).items()):
        if guest.message or node_id not in view.nodes:
            yield RemoveGuest(*key)
