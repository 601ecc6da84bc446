from manager import layout
from manager.liveness import Liveness
from swarm.ids import NodeId
from swarm.states import NodeState
from tests.manager.world import World


def test_a_new_leader_gives_every_silent_node_a_full_grace_period() -> None:
    """The leader changes while one node of two has no session.

    1. Node b is down already when this manager is elected.
    2. It is in doubt for `grace_s`.
    3. Nothing is heard of it, so it is given up, and only then.
    """
    world = World()
    world.node("a")
    world.node("b")
    world.disconnect(NodeId("b"))
    liveness = Liveness(grace_s=5.0)

    silent = liveness.elected(world.view, now=100.0)
    world.view.doubt(silent, now=100.0)

    liveness.check(world.view)
    assert silent == ("b",)
    assert world.view.node_state(NodeId("b")) is NodeState.UNKNOWN
    assert liveness.next_deadline() == 105.0
    assert liveness.expired(now=104.9) == ()
    world.view.give_up(liveness.expired(now=105.0), now=105.0)
    assert world.view.node_state(NodeId("b")) is NodeState.DOWN
    assert liveness.next_deadline() is None
    liveness.check(world.view)


def test_a_node_that_is_heard_within_its_grace_is_not_given_up() -> None:
    world = World()
    world.node("a")
    world.disconnect(NodeId("a"))
    liveness = Liveness(grace_s=5.0)
    world.view.doubt(liveness.elected(world.view, now=100.0), now=100.0)

    liveness.observe(world.view, world.connect(NodeId("a")), now=101.0)

    liveness.check(world.view)
    assert liveness.expired(now=200.0) == ()


def test_a_node_whose_session_ends_is_down_at_once() -> None:
    world = World()
    world.node("a")
    liveness = Liveness(grace_s=5.0)
    world.view.doubt(liveness.elected(world.view, now=100.0), now=100.0)

    liveness.observe(world.view, world.disconnect(NodeId("a")), now=101.0)

    assert world.view.node_state(NodeId("a")) is NodeState.DOWN
    assert liveness.next_deadline() is None
    liveness.check(world.view)


def test_nodes_of_a_manager_that_vanished_are_waited_for() -> None:
    world = World()
    world.write((layout.manager_key(NodeId("m2")), "10.0.0.2:2377"))
    node = world.node("a", ready=False)
    world.connect(node, manager="m2")
    liveness = Liveness(grace_s=5.0)

    gone = world.write((layout.session_key(node), None), (layout.manager_key(NodeId("m2")), None))
    liveness.observe(world.view, gone, now=50.0)

    liveness.check(world.view)
    assert liveness.next_deadline() == 55.0


def test_a_node_that_never_comes_is_given_up_in_the_end() -> None:
    world = World()
    liveness = Liveness(grace_s=5.0)
    node = world.node("a", ready=False)
    liveness.observe(world.view, world.set_node(node, labels={"x": "y"}), now=10.0)

    assert liveness.expired(now=15.0) == (node,)


def test_a_removed_node_is_not_waited_for() -> None:
    world = World()
    node = world.node("a", ready=False)
    liveness = Liveness(grace_s=5.0)
    liveness.observe(world.view, world.view.doubt([node], now=1.0), now=1.0)

    liveness.observe(world.view, world.write((layout.node_key(node), None)), now=2.0)

    assert liveness.next_deadline() is None
    liveness.check(world.view)
