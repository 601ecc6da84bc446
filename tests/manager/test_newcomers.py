from msgspec import structs

from manager import layout
from manager.applied import Applied
from manager.newcomers import LATELY_S, LONGEST_WAVE_S, SETTLE_S, WAVE_S, Newcomers, is_wanted
from swarm.ids import NodeId
from swarm.objects import Cluster
from swarm.specs import Availability, ClusterSpec
from tests.manager.world import World


class Watched(World):
    """A cluster of two nodes whose newcomers are noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.machine: Newcomers | None = None
        self.node("a")
        self.node("b")
        self.now += LATELY_S + 1
        self.machine = Newcomers(self.view, now=self.now)

    def write(self, *pairs: object, ahead: bool = False) -> Applied:
        applied = super().write(*pairs, ahead=ahead)
        if self.machine is not None:
            self.machine.observe(self.view, applied, now=self.now)
            self.machine.check()
        return applied

    def due_in(self) -> float | None:
        assert self.machine is not None
        at = self.machine.next_deadline()
        return at if at is None else at - self.now


def test_a_node_that_joins_is_an_occasion_a_little_later() -> None:
    world = Watched()
    assert world.due_in() is None

    world.node("c")

    assert world.due_in() == SETTLE_S


def test_a_node_that_never_came_up_is_none() -> None:
    world = Watched()

    world.node("c", ready=False)
    assert world.due_in() is None

    world.connect(NodeId("c"))
    assert world.due_in() == SETTLE_S


def test_nodes_that_come_together_are_one_occasion() -> None:
    world = Watched()
    world.node("c")
    world.now += 3

    world.node("d")

    assert world.due_in() == SETTLE_S


def test_a_node_that_lost_its_session_for_a_while_is_none() -> None:
    world = Watched()

    world.disconnect(NodeId("a"))
    world.connect(NodeId("a"))

    assert world.due_in() is None


def test_a_node_that_is_active_again_is_one() -> None:
    world = Watched()
    world.set_node(NodeId("a"), availability=Availability.DRAIN)
    assert world.due_in() is None

    world.set_node(NodeId("a"), availability=Availability.ACTIVE)

    assert world.due_in() == SETTLE_S


def test_waves_go_on_until_nothing_is_left() -> None:
    world = Watched()
    world.node("c")
    assert world.machine is not None

    world.machine.moved(moves=2, held_back=0, now=world.now)
    assert world.due_in() == WAVE_S
    world.machine.moved(moves=0, held_back=3, now=world.now)
    assert world.due_in() == 2 * WAVE_S
    for _ in range(9):
        world.machine.moved(moves=0, held_back=3, now=world.now)
    assert world.due_in() == LONGEST_WAVE_S
    world.machine.moved(moves=1, held_back=3, now=world.now)
    assert world.due_in() == WAVE_S
    world.machine.put_off(now=world.now)
    assert world.due_in() == WAVE_S
    world.machine.moved(moves=0, held_back=0, now=world.now)
    assert world.due_in() is None


def test_a_new_leader_goes_on_where_nodes_came_lately() -> None:
    world = Watched()
    node = structs.replace(world.view.nodes[NodeId("b")], created_at=world.now - 20)
    world.write((layout.node_key(node.id), node))

    lately = Newcomers(world.view, now=world.now)
    later = Newcomers(world.view, now=world.now + LATELY_S)

    assert lately.next_deadline() == world.now + SETTLE_S
    assert later.next_deadline() is None


def test_the_operator_decides_whether_any_of_it_matters() -> None:
    world = World()
    assert not is_wanted(world.view)

    world.write((layout.CLUSTER, Cluster(id="c", spec=ClusterSpec(rebalance_on_join=True))))

    assert is_wanted(world.view)
