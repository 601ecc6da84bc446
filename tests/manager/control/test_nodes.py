import pytest

from manager.control.nodes import admit, remove, update
from manager.store import Absent, Delete, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import NodeId
from swarm.objects import Node
from swarm.specs import Availability, NodeSpec, Role
from tests.manager.world import World

N1 = NodeId("n1")


def make_world(*, ready: bool = True, role: Role = Role.WORKER) -> World:
    world = World()
    world.node("n1", ready=ready)
    world.set_node(N1, role=role)
    return world


def admitted(world: World, role: Role = Role.WORKER):
    return admit(
        world.view, N1, role=role, hostname="host", availability=Availability.DRAIN, now=3.0
    )


def test_a_joiner_becomes_a_node_as_it_asked_to() -> None:
    commit = admitted(World())

    put, _ = commit.operations
    assert isinstance(put, Put)
    node = unpack(Node, put.value)
    assert commit.compares[0] == Absent("nodes/n1")
    assert (node.spec.role, node.spec.availability) == (Role.WORKER, Availability.DRAIN)
    assert node.description.hostname == "host"


def test_a_joiner_that_asks_again_is_the_same_node() -> None:
    assert not admitted(make_world()).operations


def test_joining_as_a_manager_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(Refused, match="not supported yet") as caught:
        admitted(World(), role=Role.MANAGER)

    assert "worker token" in caught.value.hint


def test_a_node_is_changed_whatever_it_is_now_or_not_at_all() -> None:
    world = make_world()
    spec = NodeSpec(availability=Availability.PAUSE)
    version = world.view.version("nodes/n1")

    assert update(world.view, N1, 0, spec, now=5.0).operations
    assert update(world.view, N1, version, spec, now=5.0).operations
    with pytest.raises(Conflict, match="out of sequence"):
        update(world.view, N1, version - 1, spec, now=5.0)


def test_no_change_is_no_commit() -> None:
    world = make_world()

    assert not update(world.view, N1, 0, world.view.nodes[N1].spec, now=5.0).operations


def test_promotion_and_demotion_are_refused_clearly() -> None:
    with pytest.raises(Refused, match="promotion comes with multi-manager support"):
        update(make_world().view, N1, 0, NodeSpec(role=Role.MANAGER), now=5.0)
    with pytest.raises(Refused, match="last manager of the swarm and cannot be demoted"):
        update(make_world(role=Role.MANAGER).view, N1, 0, NodeSpec(), now=5.0)


def test_a_ready_node_is_removed_only_by_force() -> None:
    world = make_world()

    with pytest.raises(Refused, match="is ready"):
        remove(world.view, N1, force=False)
    commit = remove(world.view, N1, force=True)

    assert set(commit.operations) == {Delete("nodes/n1"), Delete("sessions/n1")}


def test_a_manager_is_not_removed_even_by_force() -> None:
    with pytest.raises(Refused, match="is a manager"):
        remove(make_world(role=Role.MANAGER).view, N1, force=True)


def test_a_change_of_availability_is_dated() -> None:
    """A drain that may last so long has to know since when."""
    world = make_world()
    node = world.view.nodes[N1]

    def stored(spec: NodeSpec) -> Node:
        (put,) = update(world.view, N1, 0, spec, now=9.0).operations
        assert isinstance(put, Put)
        return unpack(Node, put.value)

    drained = stored(NodeSpec(availability=Availability.DRAIN))
    assert (drained.availability_at, drained.updated_at) == (9.0, 9.0)
    labelled = stored(NodeSpec(labels={"a": "b"}))
    assert labelled.availability_at == node.availability_at


def test_a_spec_that_cannot_be_is_refused_whole() -> None:
    spec = NodeSpec(labels={"a b": ""}, drain_timeout_s=-1.0)

    with pytest.raises(Invalid) as caught:
        update(make_world().view, N1, 0, spec, now=9.0)

    assert len(caught.value.problems) == 2


def test_a_joiner_takes_the_lowest_number_that_is_free() -> None:
    world = make_world()
    world.node("n2")
    world.write(("names/number/3", "n3"), ("nodes/n3", Node(id=NodeId("n3"), number=3)))
    world.write(*remove_keys(world, NodeId("n2")))

    commit = admit(
        world.view,
        NodeId("n4"),
        role=Role.WORKER,
        hostname="host",
        availability=Availability.ACTIVE,
        now=3.0,
    )

    assert Absent("names/number/2") in commit.compares
    assert Put("names/number/2", b"n4") in commit.operations


def test_a_removed_node_frees_its_number_unless_it_is_another_ones() -> None:
    world = World()
    node = Node(id=N1, number=4)
    world.write(("nodes/n1", node), ("names/number/4", "n1"))

    commit = remove(world.view, N1, force=True)
    world.write(("names/number/4", "other"))
    late = remove(world.view, N1, force=True)

    assert Unchanged("names/number/4", 1) in commit.compares
    assert Delete("names/number/4") in commit.operations
    assert Delete("names/number/4") not in late.operations


def remove_keys(world: World, node_id: NodeId) -> list[tuple[str, None]]:
    """What a removal of a node deletes."""
    commit = remove(world.view, node_id, force=True)
    return [(each.key, None) for each in commit.operations if isinstance(each, Delete)]
