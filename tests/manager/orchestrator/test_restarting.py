import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.orchestrator.restarting import (
    FLOORS_S,
    REMEMBERED,
    Again,
    Never,
    after_end,
    floor_s,
    next_try,
)
from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import RestartCondition, RestartPolicy, TaskSpec
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven

AT_ONCE = RestartPolicy(delay_s=0.0)


def ended(*restarts: float) -> Task:
    return Task(id=TaskId("t"), service_id=ServiceId("s"), restarts=restarts)


def running(policy: RestartPolicy, *, nodes: int = 1) -> Driven:
    world = Driven()
    world.nodes(nodes)
    world.service(task=TaskSpec(restart=policy))
    world.converge()
    return world


@pytest.mark.parametrize(
    ("condition", "state", "expected"),
    [
        (RestartCondition.ANY, TaskState.COMPLETE, Again(105.0, (100.0,))),
        (RestartCondition.ANY, TaskState.FAILED, Again(105.0, (100.0,))),
        (RestartCondition.ON_FAILURE, TaskState.COMPLETE, Never(done=True)),
        (RestartCondition.ON_FAILURE, TaskState.FAILED, Again(105.0, (100.0,))),
        (RestartCondition.ON_FAILURE, TaskState.REJECTED, Again(105.0, (100.0,))),
        (RestartCondition.NONE, TaskState.COMPLETE, Never(done=True)),
        (RestartCondition.NONE, TaskState.FAILED, Never(done=False)),
    ],
)
def test_the_condition_says_which_ends_call_for_another_attempt(
    condition: RestartCondition, state: TaskState, expected: Again | Never
) -> None:
    assert after_end(RestartPolicy(condition=condition), ended(), state, 100.0) == expected


def test_the_bound_counts_the_attempts_within_the_window() -> None:
    policy = RestartPolicy(max_attempts=2, window_s=60.0)

    assert after_end(policy, ended(10.0, 150.0), TaskState.FAILED, 200.0) == Again(
        205.0, (10.0, 150.0, 200.0)
    )
    assert after_end(policy, ended(141.0, 150.0), TaskState.FAILED, 200.0) == Never(done=False)


def test_without_a_window_all_attempts_count() -> None:
    policy = RestartPolicy(max_attempts=2)

    assert isinstance(after_end(policy, ended(1.0), TaskState.FAILED, 9999.0), Again)
    assert after_end(policy, ended(1.0, 2.0), TaskState.FAILED, 9999.0) == Never(done=False)


def test_a_crash_loop_slows_down_and_one_that_lasted_starts_over() -> None:
    ends: tuple[float, ...] = ()
    at, delays = 100.0, list[float]()
    for _ in range(12):
        again = after_end(AT_ONCE, ended(*ends), TaskState.FAILED, at)
        assert isinstance(again, Again)
        delays.append(round(again.at - at, 3))
        ends, at = again.restarts, again.at + 0.02
    assert delays == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5]

    lasted = after_end(AT_ONCE, ended(*ends), TaskState.FAILED, at + 60.0)

    assert isinstance(lasted, Again)
    assert lasted.at == at + 60.0


@given(st.lists(st.floats(0.0, 0.9), min_size=30, max_size=60))
def test_law_an_endless_crash_loop_stays_at_the_highest_floor(runs: list[float]) -> None:
    """The history is cut off, but never so that the loop could gain speed."""
    ends: tuple[float, ...] = ()
    at = 1000.0
    for count, run in enumerate(runs):
        again = after_end(AT_ONCE, ended(*ends), TaskState.FAILED, at)
        assert isinstance(again, Again)
        assert len(again.restarts) <= REMEMBERED
        assert again.at - at == pytest.approx(FLOORS_S[min(count, len(FLOORS_S) - 1)])
        ends, at = again.restarts, again.at + run


@given(st.lists(st.floats(0, 1e6), max_size=30).map(sorted), st.floats(0, 10))
def test_law_the_floor_is_one_of_those_there_are(ends: list[float], delay: float) -> None:
    assert floor_s(tuple(ends), delay_s=delay) in FLOORS_S


def test_a_killed_task_is_replaced_in_the_plan_that_saw_it_end() -> None:
    world = running(AT_ONCE)
    first = world.wanted()[0]
    world.now += 60
    world.report(first, TaskState.FAILED, exit_code=137)

    world.plan_once(WEB)

    (second,) = world.live()
    assert (second.slot, second.attempt, second.restarts) == (1, 2, (world.now,))
    assert world.view.tasks[first.id].desired is TaskState.SHUTDOWN


def test_a_delay_is_waited_out_before_the_replacement_is_created() -> None:
    world = running(RestartPolicy(delay_s=5.0))
    world.report(world.wanted()[0], TaskState.FAILED, exit_code=1)

    plan = world.plan_once(WEB)
    assert plan.decisions == ()
    assert plan.wake_at == world.now + 5.0
    world.wait(4.9)
    assert not world.live()
    world.wait(0.1)

    assert len(world.live()) == 1


def test_a_rejected_task_is_tried_again_like_a_failed_one() -> None:
    world = running(RestartPolicy(delay_s=2.0))
    world.report(world.wanted()[0], TaskState.REJECTED, error="image not found: x")
    world.plan()
    world.wait(2.0)

    assert len(world.live()) == 1


def test_a_bound_of_attempts_ends_in_a_replica_that_stays_down() -> None:
    world = running(RestartPolicy(delay_s=0.0, max_attempts=2))
    for _ in range(5):
        world.obey()
        for task in world.live():
            world.report(task, TaskState.FAILED, exit_code=1)
        world.plan()
        world.wait(10)

    assert world.states() == {"failed": 3}
    assert not world.wakes


def test_what_ended_well_for_good_is_left_alone() -> None:
    world = running(RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=0.0))
    world.report(world.wanted()[0], TaskState.COMPLETE)

    world.plan()

    assert world.states() == {"complete": 1}


def test_a_single_attempt_is_not_repeated_because_its_node_was_lost() -> None:
    world = running(RestartPolicy(condition=RestartCondition.NONE), nodes=2)
    world.disconnect(world.wanted()[0].node_id)

    world.plan()

    assert len(world.view.tasks) == 1


def test_nodes_where_a_service_keeps_failing_are_avoided() -> None:
    """One node of two is broken: each attempt there fails at once."""
    world = running(RestartPolicy(delay_s=0.0), nodes=2)
    world.scale(WEB, 2)
    world.converge()
    broken = world.wanted()[0].node_id
    for _ in range(40):
        world.plan()
        world.obey(fails=lambda task: task.node_id == broken)
        world.wait(6)

    assert {task.node_id for task in world.live()} == {"n0001"} - {broken} or {"n0000"}
    assert broken not in world.spread()


def crashes(policy: RestartPolicy, count: int, *, lasting_s: float = 0.5) -> list[float]:
    """The delays of a service whose attempts all last as long."""
    task, at, delays = ended(), 0.0, list[float]()
    for _ in range(count):
        following = after_end(policy, task, TaskState.FAILED, at)
        assert isinstance(following, Again)
        delays.append(round(following.at - at, 6))
        task = ended(*following.restarts)
        at = following.at + lasting_s
    return delays


@pytest.mark.parametrize(
    ("delay_s", "longest_s", "expected"),
    [
        (1.0, 10.0, [1, 2, 4, 8, 10, 10]),
        (5.0, 300.0, [5, 10, 20, 40, 80, 160, 300, 300]),
        (0.0, 2.0, [0, 0.2, 0.4, 0.8, 1.6, 2]),
        (5.0, 5.0, [5, 5, 5]),
        (5.0, 0.0, [5, 5, 5]),
    ],
)
def test_the_delay_doubles_with_each_end_in_a_row(
    delay_s: float, longest_s: float, expected: list[float]
) -> None:
    policy = RestartPolicy(delay_s=delay_s, max_delay_s=longest_s)

    assert crashes(policy, len(expected)) == expected


def test_a_delay_that_has_grown_stays_however_long_the_loop_goes_on() -> None:
    policy = RestartPolicy(delay_s=1.0, max_delay_s=60.0)

    assert set(crashes(policy, 100)[6:]) == {60.0}


def test_an_attempt_that_lasts_as_long_as_the_longest_delay_starts_over() -> None:
    policy = RestartPolicy(delay_s=1.0, max_delay_s=30.0)

    assert crashes(policy, 4, lasting_s=29.0) == [1, 2, 4, 8]
    assert crashes(policy, 4, lasting_s=30.0) == [1, 1, 1, 1]


def test_the_next_try_is_told_unless_there_is_none() -> None:
    policy = RestartPolicy(delay_s=5.0, max_attempts=1)

    assert next_try(policy, ended(), TaskState.FAILED, 100.0) == 105.0
    assert next_try(policy, ended(100.0), TaskState.FAILED, 110.0) is None
