"""A plan of some slots decides what a whole plan would, and a whole plan is made where it must."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manager.agenda import Agenda
from manager.applied import Applied
from manager.decisions import Plan
from manager.orchestrator.draft import PLENTY, Draft
from manager.orchestrator.patching import patch
from manager.orchestrator.planning import plan_service
from swarm.ids import NodeId
from swarm.specs import (
    Availability,
    Dependency,
    Replicated,
    Resources,
    RestartPolicy,
    TaskSpec,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven


class Touched(Driven):
    """A world that remembers which slots were touched since the service was last planned."""

    def __init__(self) -> None:
        self.slots: set[int] | None = None
        self.agenda = Agenda()
        super().__init__()

    def _follow(self, applied: Applied) -> None:
        super()._follow(applied)
        self.agenda.note(applied)
        if WEB in applied.services:
            slots = applied.slots.get(WEB)
            if slots is None:
                self.slots = None
            elif self.slots is not None:
                self.slots |= slots

    def settled(self) -> "Touched":
        """All that was to be done is done: nothing is touched any more."""
        self.converge()
        self.slots, self.agenda = set(), Agenda()
        self.agenda.follow(self.whole())
        return self

    def patch(self) -> Plan | None:
        """Plan what was touched, if that can be planned alone."""
        if self.slots is None:
            return None
        return patch(self.view, WEB, self.slots, fleet=self.fleet, draft=self.draft())

    def draft(self, *, most: int = PLENTY) -> Draft:
        """A new draft."""
        return Draft(self.view, WEB, now=self.now, most=most)

    def whole(self) -> Plan:
        """Plan everything."""
        return plan_service(self.view, WEB, fleet=self.fleet, now=self.now)


def a_world(replicas: int = 6, *, delay_s: float = 0.0, nodes: int = 3) -> Touched:
    world = Touched()
    for number in range(nodes):
        world.node(f"n{number}")
    world.service(
        mode=Replicated(replicas=replicas), task=TaskSpec(restart=RestartPolicy(delay_s=delay_s))
    )
    return world.settled()


def test_a_death_is_planned_by_its_slot_alone() -> None:
    world = a_world()
    dead = world.live()[2]
    world.report(dead, TaskState.FAILED)

    plan = world.patch()

    assert world.slots == {dead.slot}
    assert plan is not None
    assert plan.decisions == world.whole().decisions
    assert len(plan.decisions) == 2


def test_a_restart_that_is_due_later_wakes_its_slot_alone() -> None:
    world = a_world(delay_s=5.0)
    dead = world.live()[2]
    world.report(dead, TaskState.FAILED)

    plan = world.patch()

    assert plan is not None
    assert plan.wakes == {dead.slot: world.now + 5.0}
    assert plan.wake_at == world.now + 5.0


def drained(world: Touched) -> None:
    world.set_node(NodeId("n0"), availability=Availability.DRAIN)


def updated(world: Touched) -> None:
    world.new_version(WEB)


def scaled(world: Touched) -> None:
    world.scale(WEB, 9)
    world.slots = {1}


def dependent(world: Touched) -> None:
    world.set_service(WEB, task=TaskSpec(depends_on=(Dependency(service="db"),)))
    world.slots = {1}


@pytest.mark.parametrize("change", [drained, updated, scaled, dependent])
def test_what_concerns_more_than_slots_is_planned_as_a_whole(
    change: Callable[[Touched], None],
) -> None:
    world = a_world()
    change(world)

    assert world.patch() is None


def test_a_plan_that_may_not_start_all_says_what_is_left() -> None:
    world = Touched()
    world.node("n0")
    world.service(mode=Replicated(replicas=5))

    first = plan_service(world.view, WEB, fleet=world.fleet, now=world.now, most=3)
    world.perform(first)
    second = patch(world.view, WEB, first.rest, fleet=world.fleet, draft=world.draft(most=3))

    assert first.rest == {4, 5}
    assert second is not None
    assert not second.rest
    world.perform(second)
    assert [task.slot for task in world.wanted()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("nodes", [0, 1])
def test_planning_comes_to_an_end_where_not_all_find_room(nodes: int) -> None:
    """More replicas than one plan starts, and more than there is room for."""
    world = Touched()
    for number in range(nodes):
        world.node(f"n{number}", cpu_millis=1000)
    reserved = TaskSpec(reservations=Resources(cpu_millis=250))
    world.service(mode=Replicated(replicas=12), task=reserved)

    for _ in range(20):
        due = world.agenda.next(now=world.now)
        if due is None:
            break
        plan = plan_service(
            world.view, WEB, fleet=world.fleet, now=world.now, slots=due.slots, most=3
        )
        world.agenda.follow(plan)
        world.perform(plan)

    assert world.agenda.next_deadline() is None
    assert len(world.wanted()) == 12
    assert sum(bool(task.node_id) for task in world.wanted()) == 4 * nodes


def test_slots_that_wait_for_each_other_are_planned_together_until_they_do_not() -> None:
    """A rollout goes on with the next replica when another one is up."""
    world = a_world()
    world.new_version(WEB)
    agenda = Agenda()

    agenda.follow(world.whole())
    agenda.add_slots(WEB, [1])

    due = agenda.next(now=0.0)
    assert due is not None
    assert due.slots is None


happenings = st.tuples(
    st.sampled_from(
        ["start", "end", "fail", "obey", "down", "up", "pass", "drain", "update", "scale"]
    ),
    st.integers(0, 30),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(happenings, min_size=1, max_size=10), st.sampled_from([0.0, 3.0]))
@example([("scale", 0), ("update", 1), ("obey", 1)], 0.0)
def test_law_slots_on_their_own_are_planned_as_the_whole_would_and_none_is_missed(
    history: list[tuple[str, int]], delay_s: float
) -> None:
    """After anything that can happen to tasks and nodes, planned at once or late."""
    world = a_world(delay_s=delay_s)
    for what, number in history:
        happen(world, what, number)
        if number % 3 == 0:
            continue
        while (due := world.agenda.next(now=world.now)) is not None:
            world.agenda.check()
            whole = world.whole()
            plan = plan_service(world.view, WEB, fleet=world.fleet, now=world.now, slots=due.slots)
            assert sorted(map(repr, plan.decisions)) == sorted(map(repr, whole.decisions))
            world.agenda.follow(plan)
            world.perform(plan)
        assert world.whole().decisions == ()
    world.view.check()


def happen(world: Touched, what: str, number: int) -> None:
    tasks = world.live()
    task = tasks[number % len(tasks)] if tasks else None
    node = NodeId(f"n{number % 3}")
    match what:
        case "start" if task is not None and task.node_id:
            world.report(task, TaskState.RUNNING)
        case "end" | "fail" if task is not None and task.node_id:
            world.report(task, TaskState.COMPLETE if what == "end" else TaskState.FAILED)
        case "obey":
            world.obey()
        case "down":
            world.disconnect(node)
        case "up":
            world.connect(node)
        case "drain":
            drain = Availability.DRAIN if number % 2 else Availability.ACTIVE
            world.set_node(node, availability=drain)
        case "update":
            world.new_version(WEB)
        case "scale":
            world.scale(WEB, number % 9)
        case _:
            world.now += number
