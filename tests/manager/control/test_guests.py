"""Containers of single nodes in attachable networks: who may be there, and as whom."""

import pytest
from msgspec import structs

from manager import layout
from manager.control import guests, networks
from manager.decisions import Plan, commit_for
from manager.networks.addresses import Addresses
from manager.networks.guests import plan_guest
from manager.orchestrator.reaping import plan_node
from manager.store import Commit, Delete, Put
from swarm.codec import unpack
from swarm.errors import Invalid, Refused
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Guest
from tests.manager.world import World

ID = TaskId("c" * 64)
A, B = NodeId("a"), NodeId("b")


class Asked(World):
    """Two nodes and an attachable network, with a leader that answers."""

    def __init__(self) -> None:
        super().__init__()
        self.node("a")
        self.node("b")
        self.net = self.network("back", subnet="10.9.0.0/29", attachable=True)

    def guest_of(self, node_id: NodeId = A, **fields: object) -> Guest:
        asked = {"id": ID, "network_id": self.net, "name": "web", **fields}
        return Guest(node_id=node_id, **asked)  # type: ignore[arg-type]

    def admit(self, node_id: NodeId = A, **fields: object) -> Guest:
        """Ask, have the leader answer, and give what is known then."""
        asked = self.guest_of(node_id, **fields)
        self.do(guests.admit(self.view, asked, now=self.now))
        self.lead((asked.id, asked.network_id))
        return self.view.guests[asked.id, asked.network_id]

    def lead(self, key: tuple[TaskId, NetworkId]) -> None:
        decision = plan_guest(self.view, key, Addresses.of(self.view))
        decisions = (decision,) if decision is not None else ()
        self.do(commit_for(self.view, Plan(decisions=decisions), now=self.now))

    def do(self, commit: Commit) -> None:
        pairs: list[tuple[str, object]] = []
        for each in commit.operations:
            if isinstance(each, Put):
                is_guest = each.key.startswith(layout.GUESTS)
                value = unpack(Guest, each.value) if is_guest else each.value.decode()
                pairs.append((each.key, value))
            elif isinstance(each, Delete):
                pairs.append((each.key, None))
        if pairs:
            self.write(*pairs)  # type: ignore[arg-type]
        self.view.check()


def test_a_container_gets_an_address_and_the_same_again() -> None:
    world = Asked()

    first = world.admit(aliases=("www", "my_alias"))
    assert (first.addresses, first.name, first.aliases) == (
        ("10.9.0.2",),
        "web",
        ("www", "my_alias"),
    )
    assert not guests.admit(world.view, structs.replace(first, addresses=()), now=1.0).operations

    renamed = world.admit(name="site")
    assert (renamed.name, renamed.addresses, renamed.aliases) == ("site", ("10.9.0.2",), ())
    moved = world.admit(wanted=("10.9.0.5",))
    assert moved.addresses == ("10.9.0.5",)
    assert world.admit(id=TaskId("d" * 64)).addresses == ("10.9.0.2",)


def test_what_cannot_be_given_is_said_and_asked_for_anew() -> None:
    world = Asked()
    world.admit(wanted=("10.9.0.5",))
    other = TaskId("d" * 64)

    refused = world.admit(id=other, wanted=("10.9.0.5",))
    assert refused.message == "address 10.9.0.5 of network back is in use"
    assert refused.addresses == ()
    assert networks.guests_in(world.view, world.net) == ("web on host-a",)

    assert world.admit(id=other).addresses == ("10.9.0.2",)
    world.do(guests.release(world.view, A, other, world.net))
    assert (other, world.net) not in world.view.guests


def test_only_attachable_networks_take_containers_in() -> None:
    world = Asked()
    closed = world.network("closed", subnet="10.8.0.0/24")

    with pytest.raises(Refused, match="network closed not manually attachable"):
        guests.admit(world.view, world.guest_of(network_id=closed), now=1.0)


def test_a_node_speaks_for_its_own_containers_only() -> None:
    world = Asked()
    world.admit()

    with pytest.raises(Refused, match="is not this node's"):
        guests.admit(world.view, world.guest_of(B), now=1.0)
    assert not guests.release(world.view, B, ID, None).operations

    world.write((layout.node_key(A), None))
    taken = world.admit(B)
    assert (taken.node_id, taken.addresses) == (B, ("10.9.0.2",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": TaskId("t1")}, "not the id of a container"),
        ({"id": TaskId("C" * 64)}, "not the id of a container"),
        ({"name": ""}, "not the name of a container"),
        ({"name": "a/b"}, "not the name of a container"),
        ({"aliases": ("a b",)}, r"aliases\[0\]"),
        ({"aliases": ("x",) * 65}, "too many"),
        ({"wanted": ("here",)}, r"addresses\[0\]: 'here' is not an address"),
        ({"wanted": ("10.9.0.2", "10.9.0.3")}, "one of each family"),
    ],
)
def test_what_a_node_says_is_judged(fields: dict[str, object], words: str) -> None:
    world = Asked()

    with pytest.raises(Invalid, match=words):
        guests.admit(world.view, world.guest_of(**fields), now=1.0)


def test_a_network_with_guests_is_not_removed_and_they_are_named() -> None:
    world = Asked()
    world.admit()

    with pytest.raises(Refused, match="network back has active endpoints: container web on host-a"):
        networks.remove(world.view, world.net)
    world.do(guests.release(world.view, A, ID, None))
    assert networks.remove(world.view, world.net).operations


def test_nothing_is_left_of_the_guests_of_a_node_that_left() -> None:
    world = Asked()
    world.admit()
    world.write((layout.node_key(A), None))

    assert list(world.view.hosts()) == [A]
    world.do(commit_for(world.view, plan_node(world.view, A), now=world.now))

    assert world.view.guests == {}


def test_what_nobody_took_back_is_forgotten() -> None:
    """A manager died before it took back what its node was refused."""
    world = Asked()
    world.admit(wanted=("10.9.0.1",))
    assert world.view.guests[ID, world.net].message

    world.do(commit_for(world.view, plan_node(world.view, A), now=world.now))

    assert world.view.guests == {}
