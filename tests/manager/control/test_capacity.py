from manager.control.capacity import exceeded
from swarm.specs import Limits, Resources, TaskSpec
from tests.manager.world import MEBI, World


def make_world() -> World:
    world = World()
    world.node("n1", cpu_millis=2000, memory_bytes=1024 * MEBI)
    world.node("n2", cpu_millis=4000, memory_bytes=512 * MEBI)
    return world


def test_what_the_largest_node_has_is_enough() -> None:
    task = TaskSpec(limits=Limits(cpu_millis=4000, memory_bytes=1024 * MEBI))

    assert exceeded(make_world().view, task) == ()


def test_each_field_above_every_node_is_named_with_the_largest_node() -> None:
    task = TaskSpec(
        limits=Limits(memory_bytes=2048 * MEBI),
        reservations=Resources(cpu_millis=4001, memory_bytes=1),
    )

    assert exceeded(make_world().view, task) == (
        "task.limits.memory_bytes: 2GiB is more than any node has; the largest, host-n1, has 1GiB",
        "task.reservations.cpu_millis: 4.001 cpus is more than any node has; "
        "the largest, host-n2, has 4 cpus",
    )


def test_nodes_that_have_not_told_yet_are_no_reason_to_refuse() -> None:
    world = World()
    world.node("n1", cpu_millis=0, memory_bytes=0)

    assert exceeded(world.view, TaskSpec(limits=Limits(cpu_millis=64_000))) == ()
