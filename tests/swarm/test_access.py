import pytest

from swarm.access import ALLOWED, objection, remedy
from swarm.api.v1 import control_pb2, dispatch_pb2, trust_pb2
from swarm.ids import NodeId
from swarm.peers import Peer, Standing

SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (trust_pb2, "Trust"),
        (control_pb2, "Control"),
        (dispatch_pb2, "Dispatcher"),
    )
]
METHODS = {f"/{each.full_name}/{method.name}" for each in SERVICES for method in each.methods}


def _peer(standing: Standing) -> Peer:
    return Peer(
        standing=standing, node_id=NodeId("n1"), public_key=b"", not_before=0.0, not_after=1.0
    )


def test_every_method_of_a_managers_port_says_who_may_call_it() -> None:
    assert set(ALLOWED) == METHODS
    assert all(ALLOWED.values())


@pytest.mark.parametrize("standing", Standing)
def test_joiners_may_enroll_and_nothing_else(standing: Standing) -> None:
    peer = _peer(standing)
    may = {method for method in METHODS if objection(peer, method, ALLOWED) is None}

    if peer.is_joining:
        assert may == {"/swarm.api.v1.Trust/Enroll"}
    else:
        assert "/swarm.api.v1.Trust/Enroll" not in may


def test_a_worker_never_reaches_the_control_api() -> None:
    peer = _peer(Standing.WORKER)

    for method in (each for each in METHODS if "Control" in each):
        assert objection(peer, method, ALLOWED)
        assert objection(_peer(Standing.MANAGER), method, ALLOWED) is None
    assert objection(peer, "/swarm.api.v1.Control/ListNodes", ALLOWED) == (
        "node n1 is a worker and may not call Control.ListNodes, which takes a manager"
    )
    assert remedy(peer) == "run this command on a manager"


def test_what_is_not_listed_is_refused_to_everyone() -> None:
    for standing in Standing:
        assert objection(_peer(standing), "/swarm.api.v1.Control/New", ALLOWED)
