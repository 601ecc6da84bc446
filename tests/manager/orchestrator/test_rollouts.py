"""Rollouts as their operators live through them: pauses, canaries, rollbacks, drains."""

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec import structs

from manager import layout
from manager.control import services
from manager.decisions import Evict, Plan, WriteService
from manager.progress import measure
from manager.store import Commit
from swarm.ids import NodeId
from swarm.objects import Rollout, Task
from swarm.specs import (
    Availability,
    Dependency,
    FailureAction,
    Global,
    Placement,
    Replicated,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    Taint,
    TaintEffect,
    TaskSpec,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.states import RolloutState, TaskState
from tests.manager.orchestrator.driving import WEB, Driven

Fails = Callable[[Task], bool]
START_FIRST = UpdateOrder.START_FIRST
A, B = NodeId("n0000"), NodeId("n0001")


def running(
    replicas: int = 4,
    update: UpdatePolicy | None = None,
    rollback: UpdatePolicy | None = None,
    *,
    nodes: int = 3,
    mode: object = None,
    **fields: object,
) -> Driven:
    world = Driven()
    world.nodes(nodes)
    spec = ServiceSpec(
        name="web",
        mode=mode or Replicated(replicas=replicas),
        task=TaskSpec(restart=RestartPolicy(delay_s=2.0)),
        update=update or UpdatePolicy(),
        rollback=rollback or UpdatePolicy(parallelism=0, monitor_s=1.0),
        **fields,
    )
    act(world, services.create(world.view, spec, WEB, now=world.now))
    world.converge()
    world.wait(60.0)
    return world


def act(world: Driven, commit: Commit) -> None:
    """Commit what an operator asked for, as the control API does."""
    world.commit_group(commit)


def update(world: Driven, **fields: object) -> None:
    spec = world.view.services[WEB].spec
    changed = fields or {"force_update": spec.task.force_update + 1}
    new = structs.replace(spec, task=structs.replace(spec.task, **changed))
    version = world.view.version(layout.service_key(WEB))
    act(world, services.update(world.view, WEB, version, new, now=world.now))


def rollout(world: Driven) -> Rollout:
    found = world.view.ledgers[WEB].rollout
    assert found is not None
    return found


def versions(world: Driven) -> Counter[int]:
    return Counter(task.spec_version for task in world.live())


def up(world: Driven) -> list[Task]:
    return [task for task in world.live() if world.view.state(task) is TaskState.RUNNING]


def never(task: Task) -> bool:
    """Nothing fails."""
    del task
    return False


def bad(task: Task) -> bool:
    """Of the second version, whose image crashes."""
    return task.spec_version == 2


def go_on(world: Driven, seconds: float, *, fails: Fails = never) -> int:
    """Live for a while; the fewest tasks that ran at any time."""
    least = len(up(world))
    until = world.now + seconds
    while world.now < until:
        world.plan()
        world.obey(fails=fails)
        world.plan()
        least = min(least, len(up(world)))
        world.wait(0.25)
    return least


# -- the way of a rollout --------------------------------------------------------------------


def test_a_rollout_from_beginning_to_end() -> None:
    """Three replicas, one at a time, each watched for two seconds."""
    world = running(3, UpdatePolicy(parallelism=1, monitor_s=2.0))
    update(world)

    assert told(world, 9.0) == [
        "0.0 updating: update in progress",
        "0.0 web.1 version 1 stops",
        "0.0 web.1 version 2 starts",
        "1.0 web.2 version 1 stops",
        "1.0 web.2 version 2 starts",
        "2.0 web.3 version 1 stops",
        "2.0 web.3 version 2 starts",
        "4.0 completed: update completed",
    ]


def test_an_image_that_crashes_is_taken_back_by_itself() -> None:
    """Four replicas, two at a time; the new image crashes as soon as it starts."""
    policy = UpdatePolicy(parallelism=2, failure_action=FailureAction.ROLLBACK)
    world = running(4, policy)
    update(world)

    assert told(world, 9.0, fails=bad) == [
        "0.0 updating: update in progress",
        "0.0 web.1 version 1 stops",
        "0.0 web.2 version 1 stops",
        "0.0 web.1 version 2 starts",
        "0.0 web.2 version 2 starts",
        "0.0 rollback_started: rolled back: task (web.1) failed",
        "0.0 web.1 version 1 starts",
        "0.0 web.2 version 1 starts",
        "1.0 rollback_completed: rolled back: task (web.1) failed",
    ]
    assert world.view.services[WEB].spec_version == 1


def told(world: Driven, seconds: float, *, fails: Fails = never) -> list[str]:
    """What is decided and becomes of the rollout, as a person would tell it."""
    story: list[str] = []
    began = world.now
    states: list[RolloutState] = []
    wanted = {task.id for task in world.wanted()}

    def note() -> None:
        at, tasks = f"{world.now - began:.1f}", world.view.tasks
        ledger = world.view.ledgers.get(WEB)
        record = ledger.rollout if ledger is not None else None
        if record is not None and record.state not in states[-1:]:
            states.append(record.state)
            message = " ".join(word for word in record.message.split() if word not in tasks)
            story.append(f"{at} {record.state.word}: {message}")
        for task in sorted(tasks.values(), key=lambda each: (each.slot, each.attempt)):
            is_wanted = task.desired <= TaskState.RUNNING
            if is_wanted is not (task.id in wanted) and not world.view.state(task).is_terminal:
                what = "starts" if is_wanted else "stops"
                story.append(f"{at} web.{task.slot} version {task.spec_version} {what}")
        wanted.clear()
        wanted.update(task.id for task in world.wanted())

    world.on_commit = note
    until = began + seconds
    while world.now < until:
        world.plan()
        while world.obey(fails=fails):
            world.plan()
        world.wait(0.5)
    world.on_commit = lambda: None
    return story


# -- failures --------------------------------------------------------------------------------


def test_what_is_not_proven_counts_also_where_it_may_not_stay() -> None:
    """Found by seed 16707 of the simulation: two more were stopped before the first were proven.

    1. Two of six replicas have just come up in the new version.
    2. Their nodes are drained. As one replica is down already, no other may be moved.
    3. Where they are is no reason to trust them, so the rollout has no place to give.
    """
    world = running(6, UpdatePolicy(parallelism=2), max_unavailable=1)
    update(world)
    world.plan()
    world.obey()
    world.plan()
    world.obey()
    new = [task for task in world.live() if task.spec_version == 2]
    assert len(new) == 2
    drained = {task.node_id for task in new}
    old, down = (task for task in world.live() if task.node_id not in drained)

    world.report(down, TaskState.FAILED)
    for node_id in drained:
        world.set_node(node_id, availability=Availability.DRAIN)
    world.plan()

    assert world.view.tasks[old.id].desired is TaskState.RUNNING
    assert versions(world) == {1: 3, 2: 2}


@pytest.mark.parametrize("order", list(UpdateOrder))
def test_a_failure_pauses_a_rollout_and_says_which_and_why(order: UpdateOrder) -> None:
    world = running(6, UpdatePolicy(parallelism=2, order=order))
    update(world)

    least = go_on(world, 30.0, fails=bad)

    assert rollout(world).state is RolloutState.PAUSED
    assert "update paused: task " in rollout(world).message
    assert set(rollout(world).failed) <= {"1", "2"}
    assert least == (4 if order is UpdateOrder.STOP_FIRST else 6)
    assert not measure(world.view, WEB).is_converged


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        (RestartCondition.ANY, RolloutState.PAUSED),
        (RestartCondition.ON_FAILURE, RolloutState.COMPLETED),
    ],
)
def test_what_is_to_run_always_must_not_end_early_even_if_it_ends_well(
    condition: RestartCondition, state: RolloutState
) -> None:
    world = running(3)
    update(world, restart=RestartPolicy(condition=condition, delay_s=60.0))

    for _ in range(60):
        world.plan()
        world.obey()
        for task in up(world):
            if task.spec_version == 2:
                world.report(task, TaskState.COMPLETE)
        world.plan()
        world.wait(0.25)

    assert rollout(world).state is state
    assert ("ended early" in rollout(world).message) == (state is RolloutState.PAUSED)


def test_a_paused_rollout_goes_on_when_it_is_promoted() -> None:
    world = running(4, UpdatePolicy(parallelism=1))
    update(world)
    go_on(world, 5.0, fails=bad)

    act(world, services.promote(world.view, WEB, now=world.now))
    go_on(world, 30.0)

    assert rollout(world).state is RolloutState.COMPLETED
    assert versions(world) == {2: 4}


@pytest.mark.parametrize("order", UpdateOrder)
def test_a_promoted_rollout_does_not_wait_for_what_is_not_tried_again(order: UpdateOrder) -> None:
    """The first replica fails, and may be tried once only.

    1. Its failure pauses the rollout.
    2. Somebody lets it go on: the replica is down for good, and would hold the only place.
       Where replacements start first, the earlier task of it runs on.
    """
    world = running(3, UpdatePolicy(parallelism=1, order=order))
    update(world, restart=RestartPolicy(condition=RestartCondition.NONE))
    go_on(world, 5.0, fails=lambda task: bad(task) and task.slot == 1)
    assert rollout(world).state is RolloutState.PAUSED

    act(world, services.promote(world.view, WEB, now=world.now))
    least = go_on(world, 30.0)

    is_first = order is START_FIRST
    assert rollout(world).state is RolloutState.COMPLETED
    assert versions(world) == ({1: 1, 2: 2} if is_first else {2: 2})
    assert least == (3 if is_first else 1)


def test_a_replica_that_fails_for_good_counts_however_long_it_ran() -> None:
    """It would hold its place for ever, and nobody would hear of it."""
    world = running(3, UpdatePolicy(parallelism=1, monitor_s=1.0, delay_s=60.0))
    update(world, restart=RestartPolicy(condition=RestartCondition.NONE))
    go_on(world, 10.0)
    (new,) = (task for task in world.live() if task.spec_version == 2)
    world.report(new, TaskState.FAILED)
    world.plan()

    assert rollout(world).state is RolloutState.PAUSED
    assert new.id in rollout(world).message


def test_failures_up_to_the_ratio_are_put_up_with() -> None:
    """One of four may fail; the second failure is one too many."""
    world = running(4, UpdatePolicy(parallelism=1, max_failure_ratio=0.25))
    update(world)

    go_on(world, 30.0, fails=lambda task: bad(task) and task.slot == 1)
    assert rollout(world).state is RolloutState.COMPLETED
    assert rollout(world).failed == ("1",)
    assert versions(world)[1] == 0

    update(world)
    go_on(world, 30.0, fails=lambda task: task.spec_version == 3 and task.slot in {1, 2})
    assert rollout(world).state is RolloutState.PAUSED
    assert rollout(world).failed == ("1", "2")
    assert versions(world)[2] == 2


@pytest.mark.parametrize("order", UpdateOrder)
def test_a_rollout_that_may_fail_goes_on_to_its_end(order: UpdateOrder) -> None:
    """Where replacements start first, what ran before runs on beside their attempts."""
    policy = UpdatePolicy(parallelism=1, failure_action=FailureAction.CONTINUE, order=order)
    world = running(4, policy)
    update(world)

    least = go_on(world, 40.0, fails=bad)

    assert rollout(world).state is RolloutState.COMPLETED
    assert rollout(world).message == "update completed, 4 of 4 replicas failed"
    if order is START_FIRST:
        assert least == 4
    else:
        assert versions(world)[1] == 0


def test_what_falls_long_after_it_came_up_is_no_failure_of_the_rollout() -> None:
    world = running(2, UpdatePolicy(parallelism=1, monitor_s=2.0, delay_s=10.0))
    update(world)
    go_on(world, 6.0)
    assert versions(world) == {1: 1, 2: 1}

    world.obey(fails=bad)
    go_on(world, 40.0)

    assert rollout(world).state is RolloutState.COMPLETED
    assert rollout(world).failed == ()


def test_a_rollback_leaves_alone_what_was_not_updated_yet() -> None:
    policy = UpdatePolicy(parallelism=1, failure_action=FailureAction.ROLLBACK)
    world = running(5, policy)
    before = {task.id for task in world.live()}
    update(world)

    least = go_on(world, 20.0, fails=bad)

    assert least == 4
    assert len(before & {task.id for task in world.live()}) == 4
    assert rollout(world).state is RolloutState.ROLLBACK_COMPLETED
    rewritten = [each for plan in world.plans for each in rewrites(plan)]
    assert [each.revision.cause for each in rewritten] == ["automatic rollback"]
    assert measure(world.view, WEB).is_converged


def rewrites(plan: Plan) -> list[WriteService]:
    return [each for each in plan.decisions if isinstance(each, WriteService)]


def test_after_a_rollback_nothing_that_failed_is_still_wanted() -> None:
    world = running(4, UpdatePolicy(parallelism=2, order=START_FIRST))
    update(world)
    go_on(world, 5.0, fails=bad)
    assert any(world.view.state(task) is TaskState.FAILED for task in world.wanted())

    act(world, services.rollback(world.view, WEB, 0, None, now=world.now))
    go_on(world, 10.0, fails=bad)

    assert len(world.wanted()) == len(up(world)) == 4


def test_a_rollback_that_fails_as_well_is_paused() -> None:
    policy = UpdatePolicy(parallelism=1, failure_action=FailureAction.ROLLBACK)
    rollback = UpdatePolicy(parallelism=1, failure_action=FailureAction.ROLLBACK)
    world = running(3, policy, rollback)
    update(world)
    everything = world.now

    go_on(world, 20.0, fails=lambda task: task.created_at >= everything)

    assert rollout(world).state is RolloutState.ROLLBACK_PAUSED
    assert "rollback paused: task " in rollout(world).message
    assert versions(world)[1] == 2


def test_what_went_with_its_node_is_not_wanted_any_more() -> None:
    """Found by seed 5129 of the simulation: a task was to run for ever on a node that was gone.

    1. The replacement starts on a node that is removed from the swarm.
    2. The service is rolled back, so that what it was to replace may stay.
    """
    world = running(1, UpdatePolicy(order=START_FIRST), nodes=2)
    (old,) = world.live()
    update(world)
    world.plan()
    (new,) = (task for task in world.live() if task.id != old.id)
    assert new.node_id != old.node_id

    world.disconnect(new.node_id)
    world.write((layout.node_key(new.node_id), None))
    act(world, services.rollback(world.view, WEB, 0, None, now=world.now))
    world.converge()

    assert [task.id for task in world.wanted()] == [old.id]


def test_an_update_during_a_rollout_starts_another_and_keeps_where_a_rollback_leads() -> None:
    world = running(4, UpdatePolicy(parallelism=1))
    good = world.view.services[WEB].spec
    update(world)
    go_on(world, 3.0, fails=bad)
    assert rollout(world).state is RolloutState.PAUSED

    update(world)
    assert world.view.services[WEB].previous_spec == good
    go_on(world, 30.0)

    assert rollout(world).state is RolloutState.COMPLETED
    assert versions(world) == {3: 4}


def test_an_update_takes_over_what_an_unfinished_rollout_had_stopped_all_of() -> None:
    """Found by seeds 1 and 12 of the simulation: the record of version 2 said "updating" for ever.

    1. A rollout of version 2 stops all tasks at once.
    2. Before any of its own is made, version 3 follows: nothing of an earlier version is wanted.
    3. Version 3 is rolled out all the same: it is watched, and can be taken back.
    """
    policy = UpdatePolicy(parallelism=0, failure_action=FailureAction.ROLLBACK)
    world = running(4, policy)
    good = world.view.services[WEB].spec
    update(world)
    world.plan()
    assert not world.wanted()
    update(world)
    world.plan()

    assert (rollout(world).spec_version, rollout(world).state) == (3, RolloutState.UPDATING)
    go_on(world, 60.0, fails=lambda task: task.spec_version == 3)

    assert rollout(world).state is RolloutState.ROLLBACK_COMPLETED
    assert world.view.services[WEB].spec == good
    assert len(up(world)) == 4


def test_the_rollout_of_a_service_without_replicas_is_over_when_another_overtakes_it() -> None:
    world = running(2, UpdatePolicy(parallelism=1))
    update(world)
    world.plan()
    spec = world.view.services[WEB].spec
    version = world.view.version(layout.service_key(WEB))
    task = structs.replace(spec.task, force_update=7)
    none = structs.replace(spec, mode=Replicated(replicas=0), task=task)
    act(world, services.update(world.view, WEB, version, none, now=world.now))
    go_on(world, 10.0)

    assert (rollout(world).spec_version, rollout(world).state) == (3, RolloutState.COMPLETED)


def test_a_first_version_has_no_rollout() -> None:
    assert WEB not in running().view.ledgers


# -- what else happens while a version is not proven -----------------------------------------


def test_a_replica_that_falls_while_the_rollout_is_paused_starts_as_what_it_was() -> None:
    world = running(4, UpdatePolicy(parallelism=1))
    update(world)
    go_on(world, 3.0, fails=bad)

    world.report(next(task for task in up(world) if task.slot == 4), TaskState.FAILED)
    go_on(world, 5.0, fails=bad)

    assert {task.slot for task in up(world) if task.spec_version == 1} == {2, 3, 4}


def test_a_lost_node_does_not_spread_a_version_that_is_not_proven() -> None:
    world = running(9, UpdatePolicy(parallelism=1))
    update(world)
    go_on(world, 3.0, fails=bad)

    world.disconnect(B)
    go_on(world, 10.0, fails=bad)

    assert len([task for task in up(world) if task.spec_version == 1]) == 8


def test_a_drain_in_a_paused_rollout_moves_what_was_not_updated_as_it_is() -> None:
    world = running(6, UpdatePolicy(parallelism=1))
    update(world)
    go_on(world, 3.0, fails=bad)

    world.set_node(B, availability=Availability.DRAIN)
    go_on(world, 10.0, fails=bad)

    assert len([task for task in up(world) if task.spec_version == 1]) == 5
    assert B not in {task.node_id for task in up(world)}


def test_what_is_added_while_a_rollout_is_paused_is_of_the_old_version() -> None:
    world = running(3, UpdatePolicy(parallelism=1))
    update(world)
    go_on(world, 3.0, fails=bad)

    world.scale(WEB, 6)
    go_on(world, 5.0, fails=bad)

    assert len([task for task in up(world) if task.spec_version == 1]) == 5


def test_the_version_of_what_is_started_again_is_not_forgotten() -> None:
    """Found by seed 19297 of the simulation: nobody knew what a task that ran had reserved.

    1. A rollout is paused, and the last task of the earlier version falls.
    2. It is started as what it was, in the plan that forgets the one that fell.
    """
    world = running(2)
    world.history_limit(1)
    update(world, restart=RestartPolicy(condition=RestartCondition.NONE))
    go_on(world, 1.0, fails=bad)
    assert rollout(world).state is RolloutState.PAUSED

    (old,) = world.live()
    world.report(old, TaskState.FAILED)
    go_on(world, 5.0, fails=bad)

    (again,) = world.live()
    assert (again.spec_version, again.id == old.id) == (1, False)
    assert world.view.task_spec(WEB, 1) is not None


# -- canaries --------------------------------------------------------------------------------


def test_canaries_go_first_and_the_rest_when_they_are_promoted() -> None:
    world = running(5, UpdatePolicy(parallelism=0, canary=2))
    update(world)

    go_on(world, 30.0)
    assert versions(world) == {1: 3, 2: 2}
    assert rollout(world).state is RolloutState.CANARY
    assert rollout(world).message == "2 of 5 replicas are canaries: promote them or roll back"

    act(world, services.promote(world.view, WEB, now=world.now))
    go_on(world, 10.0)
    assert versions(world) == {2: 5}
    assert rollout(world).state is RolloutState.COMPLETED


def test_a_canary_that_has_to_move_is_still_the_only_one() -> None:
    """It may not move yet, because another replica is down."""
    world = running(3, UpdatePolicy(canary=1, monitor_s=1.0, parallelism=3), max_unavailable=1)
    update(world)
    go_on(world, 10.0)
    (canary,) = (task for task in world.live() if task.spec_version == 2)
    fallen = next(task for task in world.live() if task.spec_version == 1)

    world.report(fallen.id, TaskState.FAILED)
    world.set_node(canary.node_id, availability=Availability.DRAIN)
    world.plan()

    assert [task.slot for task in world.wanted() if task.spec_version == 2] == [canary.slot]
    assert sum(task.spec_version == 1 for task in up(world)) == 1


def test_canaries_are_taken_back() -> None:
    world = running(5, UpdatePolicy(parallelism=0, canary=2))
    update(world)
    go_on(world, 10.0)

    act(world, services.rollback(world.view, WEB, 0, None, now=world.now))
    go_on(world, 10.0)

    assert versions(world) == {1: 5}
    assert rollout(world).state is RolloutState.ROLLBACK_COMPLETED


def test_a_canary_that_waits_beside_a_task_in_doubt_is_the_only_one() -> None:
    """Found by seed 32402 of the simulation: a second replica was replaced.

    1. A node is lost, and what is to replace its task finds no room.
    2. It waits as the canary of a new version.
    3. A new leader has not heard of the node yet: the lost task may be there after all.
    """
    full = TaskSpec(reservations=Resources(cpu_millis=1000))
    world = Driven()
    world.node("a", cpu_millis=1000)
    world.node("b", cpu_millis=1000)
    world.service(replicas=2, task=full, update=UpdatePolicy(canary=1))
    world.converge()
    world.disconnect(NodeId("a"))
    world.plan()
    update(world)
    world.plan()
    (canary,) = (task for task in world.wanted() if task.spec_version == 2)
    assert not canary.node_id

    world.doubt(NodeId("a"))
    world.plan()

    assert versions(world)[1] == 2
    assert [task.slot for task in world.wanted() if task.spec_version == 2] == [canary.slot]


def test_a_canary_that_is_lost_beside_a_task_in_doubt_is_the_only_one() -> None:
    """Found by seed 13614 of the simulation: a second replica was replaced.

    1. A new leader has not heard of any node yet, and the canary starts on one that joins.
    2. That node is lost, while the one of the task beside it is still in doubt.
    3. Nobody knows whether the canary runs. Until then it is one.
    """
    world = running(2, UpdatePolicy(order=START_FIRST, canary=1), nodes=2)
    for node_id in (A, B):
        world.disconnect(node_id)
        world.doubt(node_id)
    joined = world.node("joined")
    update(world)
    world.plan()
    (canary,) = (task for task in world.wanted() if task.spec_version == 2)
    assert canary.node_id == joined
    (beside,) = (task for task in world.wanted() if task.slot == canary.slot and task != canary)

    world.connect(B if beside.node_id == A else A)
    world.disconnect(joined)
    world.plan()

    assert [task.id for task in world.wanted() if task.spec_version == 2] == [canary.id]


def test_a_canary_that_fails_leads_back() -> None:
    policy = UpdatePolicy(parallelism=0, canary=1, failure_action=FailureAction.ROLLBACK)
    world = running(5, policy)
    update(world)

    least = go_on(world, 20.0, fails=bad)

    assert least == 4
    assert rollout(world).state is RolloutState.ROLLBACK_COMPLETED


# -- start-first -----------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", [1, 2, 0])
def test_replacements_start_first_and_there_are_never_fewer_or_too_many(parallelism: int) -> None:
    world = running(4, UpdatePolicy(parallelism=parallelism, order=START_FIRST))
    most = 4
    update(world)

    for _ in range(80):
        world.plan()
        most = max(most, len(world.live()))
        assert len(up(world)) >= 4
        world.obey()
        world.plan()
        assert len(up(world)) >= 4
        world.wait(0.25)

    assert versions(world) == {2: 4}
    assert most == 4 + (parallelism or 4)
    assert rollout(world).state is RolloutState.COMPLETED


def test_the_old_task_stays_until_the_new_one_is_proven() -> None:
    world = running(1, UpdatePolicy(order=START_FIRST))
    (old,) = world.live()
    update(world)
    world.plan()
    world.obey()
    world.plan()
    assert len(up(world)) == 2

    world.wait(0.9)
    assert old in world.live()
    world.wait(0.2)

    assert old.id not in {task.id for task in world.live()}


def test_a_replacement_that_has_no_room_waits_beside_what_runs() -> None:
    world = Driven()
    world.node("a", cpu_millis=1000)
    reserved = Resources(cpu_millis=1000)
    world.service(
        replicas=1, task=TaskSpec(reservations=reserved), update=UpdatePolicy(order=START_FIRST)
    )
    world.converge()
    world.new_version(WEB)
    world.converge()
    waiting, there = world.live()
    assert (waiting.node_id, there.node_id) == ("", "a")
    assert "insufficient cpu" in waiting.message

    world.node("b", cpu_millis=1000)
    world.converge()

    assert [(task.node_id, task.spec_version) for task in world.live()] == [("b", 2)]


def test_a_replacement_that_fails_is_repeated_while_the_old_task_stays() -> None:
    policy = UpdatePolicy(order=START_FIRST, failure_action=FailureAction.CONTINUE)
    world = running(1, policy)
    update(world)

    assert go_on(world, 10.0, fails=bad) == 1
    assert versions(world)[1] == 1
    go_on(world, 20.0)

    assert versions(world) == {2: 1}


def test_a_newer_version_takes_the_place_of_a_replacement_that_is_not_up() -> None:
    world = running(1, UpdatePolicy(order=START_FIRST))
    update(world)
    world.plan()
    update(world)

    least = go_on(world, 20.0)

    assert least == 1
    assert versions(world) == {3: 1}


def test_what_runs_on_a_node_in_doubt_stays_until_the_newer_version_replaces_it() -> None:
    """A version overtakes another just after the leader changed.

    1. Nobody has heard of the node with the only running task since.
    2. A second version is rolled out: its task is made elsewhere, beside the first.
    3. A third one overtakes it before that is up.
    4. The second version's task is given up. The first's, which may well be at work, is not:
       its replacement has yet to be made.
    """
    world = running(1, UpdatePolicy(order=START_FIRST))
    (old,) = world.live()
    world.disconnect(old.node_id)
    world.doubt(old.node_id)
    update(world)
    world.plan()

    update(world)
    world.plan()

    assert world.view.tasks[old.id].desired is TaskState.RUNNING
    assert {task.spec_version for task in world.wanted()} <= {1, 3}


def test_what_runs_on_a_node_in_doubt_is_not_given_up_for_what_is_outdated_too() -> None:
    """Found by seed 10582 of the simulation: a rollout stopped what ran, and started nothing.

    1. A second version starts beside the first.
    2. A new leader has not heard of the first one's node: it may well be at work.
    3. A third version overtakes the second before that is up. It is not to start first.
    """
    world = running(2, UpdatePolicy(order=START_FIRST))
    update(world)
    world.plan()
    (second,) = (task for task in world.wanted() if task.spec_version == 2)
    live = (task for task in world.live() if task.slot == second.slot)
    (old,) = (task for task in live if task.id != second.id)
    world.disconnect(old.node_id)
    world.doubt(old.node_id)
    world.plan()
    assert versions(world) == {1: 2, 2: 1}

    spec = world.view.services[WEB].spec
    task = structs.replace(spec.task, force_update=2)
    changed = structs.replace(spec, task=task, update=UpdatePolicy())
    version = world.view.version(layout.service_key(WEB))
    act(world, services.update(world.view, WEB, version, changed, now=world.now))
    world.plan_once(WEB)

    assert world.view.tasks[second.id].desired > TaskState.RUNNING
    assert world.view.tasks[old.id].desired is TaskState.RUNNING


def test_on_every_node_the_new_task_starts_beside_the_old_one() -> None:
    world = running(mode=Global(), update=UpdatePolicy(parallelism=1, order=START_FIRST))
    update(world)

    least = go_on(world, 20.0)

    assert least == 3
    assert versions(world) == {2: 3}
    assert world.spread() == {"n0000": 1, "n0001": 1, "n0002": 1}


def test_a_node_without_room_for_two_is_updated_also_when_an_earlier_update_found_room() -> None:
    """Found by seed 288 of the simulation: a rollout that went on for ever.

    1. Version 2 asks for nothing, so it starts beside version 1, which fills the node.
    2. Before it runs, version 3 is wanted, for which there is no room beside version 1.
    3. What was tried last on the node is not version 3, so nothing speaks for keeping version 1.
    """
    world = Driven()
    world.node("a", cpu_millis=1000)
    policy = UpdatePolicy(parallelism=1, order=START_FIRST)
    full = TaskSpec(reservations=Resources(cpu_millis=1000))
    world.service(mode=Global(), task=full, update=policy)
    world.converge()
    update(world, reservations=Resources())
    world.plan()
    assert len(world.wanted()) == 2

    update(world, reservations=Resources(cpu_millis=500))
    world.converge()

    assert versions(world) == {3: 1}


def test_a_rollout_is_not_over_while_nodes_are_in_doubt() -> None:
    """Found by seed 25175 of the simulation: an update went on that nobody had promoted."""
    world = running(mode=Global(), update=UpdatePolicy(canary=1))
    update(world)
    world.converge()
    nodes = [task.node_id for task in world.live() if task.spec_version == 1]
    for node_id in nodes:
        world.disconnect(node_id)
    world.doubt(*nodes)
    world.plan()
    world.wait(60.0)
    assert rollout(world).state is RolloutState.CANARY

    for node_id in nodes:
        world.connect(node_id)
    world.plan()
    world.wait(60.0)

    assert rollout(world).state is RolloutState.CANARY
    assert versions(world) == {1: 2, 2: 1}


def test_a_node_that_missed_a_rollout_is_updated_when_its_turn_comes() -> None:
    """Found by seed 25175 of the simulation: a node kept the earlier version for ever.

    1. A rollout is over while a node is down.
    2. The node comes back when another one has just joined, whose task does not run yet.
    3. That task runs: it is a first attempt, but the node's turn has come.
    """
    world = running(mode=Global(), update=UpdatePolicy(parallelism=1))
    world.disconnect(A)
    world.plan()
    update(world)
    world.converge()
    world.wait(60.0)
    assert rollout(world).state is RolloutState.COMPLETED

    world.node("late")
    world.plan()
    world.connect(A)
    world.plan()
    assert versions(world) == {1: 1, 2: 3}
    (starting,) = (task for task in world.wanted() if task.node_id == "late")
    world.report(starting, TaskState.RUNNING)
    world.converge()

    assert versions(world) == {2: 4}


@pytest.mark.parametrize("constraint", ["node.labels.zone!=west", "node.labels.zone!=none"])
def test_a_failed_replacement_holds_no_rollout_where_nothing_may_start(constraint: str) -> None:
    """Found by seed 27611 of the simulation: a rollout that went on for ever.

    1. The replacement on the first node fails, and somebody lets the rollout go on.
    2. Before it is tried again, nothing may start there any more. The first constraint rules
       out what runs on the node, too; with the second it may go on.
    """
    world = running(mode=Global(), update=UpdatePolicy(order=START_FIRST, monitor_s=0.0))
    update(world, placement=Placement(constraints=(constraint,)))
    for _ in range(6):
        world.obey(fails=lambda task: task.node_id == A and task.spec_version == 2)
        world.plan()
    assert rollout(world).failed == (A,)
    act(world, services.promote(world.view, WEB, now=world.now))
    for _ in range(6):
        world.plan()
        world.obey()
    assert rollout(world).state is RolloutState.UPDATING

    is_west = "west" in constraint
    pause = {} if is_west else {"availability": Availability.PAUSE}
    world.set_node(A, labels={"zone": "west"}, **pause)
    go_on(world, 20.0)

    assert rollout(world).state is RolloutState.COMPLETED
    assert versions(world) == ({2: 2} if is_west else {1: 1, 2: 2})


def test_a_node_that_joins_runs_no_earlier_version_that_does_not_admit_it() -> None:
    """Found by seed 332 of the simulation: a task was started where its constraint forbids it.

    1. Version 1 of a global service is bound to nodes of a label, and version 2 is not.
    2. The rollout waits for somebody, so whatever is added is of version 1.
    3. A node without the label joins: the current version admits it, but not that one.
    """
    world = Driven()
    world.node("a", labels={"zone": "east"})
    world.node("b", labels={"zone": "east"})
    bound = TaskSpec(placement=Placement(constraints=("node.labels.zone==east",)))
    world.service(mode=Global(), task=bound, update=UpdatePolicy(canary=1))
    world.converge()
    update(world, placement=Placement())
    world.converge()
    assert rollout(world).state is RolloutState.CANARY

    world.node("c")
    world.converge()

    assert not [task for task in world.live() if task.node_id == "c"]
    assert "constraint" in next(task.message for task in world.wanted() if not task.node_id)


def test_a_node_that_is_not_admitted_any_more_gets_no_replacement_of_what_it_runs() -> None:
    """Found by seed 6 of the simulation: a task was started where its constraint forbids it.

    1. A global service that starts replacements first runs on two nodes with a label.
    2. One of them loses the label, so what runs there has to go.
    3. Nowhere else can its replica run, so nothing is started first: it is just stopped.
    """
    world = Driven()
    for name in ("a", "b"):
        world.node(name, labels={"zone": "east"})
    task = TaskSpec(placement=Placement(constraints=("node.labels.zone==east",)))
    policy = UpdatePolicy(parallelism=1, order=START_FIRST)
    world.service(mode=Global(), task=task, update=policy)
    world.converge()

    world.set_node(NodeId("a"), labels={"zone": "west"})
    world.plan()
    assert [task.node_id for task in world.wanted()] == ["b"]
    world.converge()

    assert world.spread() == {"b": 1}


def test_what_may_not_stay_is_kept_while_as_many_are_down_as_may_be() -> None:
    """Seed 6003 of the simulation took it for too many tasks; the operator's limit wants it so.

    1. Of a global service one replica waits for room, and one may be unavailable.
    2. An update binds it to the nodes of a label: what runs on the others may not stay.
    3. The one that waits is down already, so what still serves is not stopped before it is up.
    """
    world = Driven()
    world.node("a", cpu_millis=1000, labels={"zone": "east"})
    world.node("b", cpu_millis=4000)
    world.node("c", cpu_millis=4000)
    big = TaskSpec(reservations=Resources(cpu_millis=2000))
    spec = ServiceSpec(name="web", mode=Global(), task=big, max_unavailable=1)
    act(world, services.create(world.view, spec, WEB, now=world.now))
    world.converge()
    update(world, placement=Placement(constraints=("node.labels.zone==east",)))
    world.converge()
    assert world.spread() == {"": 1, "b": 1, "c": 1}

    update(world, reservations=Resources(cpu_millis=500))
    world.converge()

    assert world.spread() == {"a": 1}
    assert versions(world) == {3: 1}


def test_on_a_node_without_room_for_two_the_old_task_stops_first() -> None:
    world = Driven()
    world.node("a", cpu_millis=1000)
    world.node("b", cpu_millis=2000)
    reserved = Resources(cpu_millis=1000)
    policy = UpdatePolicy(parallelism=1, order=START_FIRST)
    world.service(mode=Global(), task=TaskSpec(reservations=reserved), update=policy)
    world.converge()
    world.new_version(WEB)

    world.plan()
    assert [task.node_id for task in up(world)] == ["b"]
    world.converge()

    assert versions(world) == {2: 2}


# -- drains and evictions --------------------------------------------------------------------


def test_a_drained_node_is_emptied_with_replacements_first() -> None:
    world = running(6, UpdatePolicy(order=START_FIRST))
    world.set_node(B, availability=Availability.DRAIN)

    least = go_on(world, 10.0)

    assert least == 6
    assert world.spread() == {"n0000": 3, "n0002": 3}


def test_a_drain_that_takes_too_long_stops_what_is_left() -> None:
    """There is no room elsewhere, and the operator waits for a minute at most."""
    world = Driven()
    world.node("a", cpu_millis=1000)
    world.node("b", cpu_millis=2000)
    spec = TaskSpec(reservations=Resources(cpu_millis=1000))
    world.service(replicas=3, task=spec, update=UpdatePolicy(order=START_FIRST))
    world.converge()
    drain(world, NodeId("b"), timeout_s=60.0)

    go_on(world, 59.0)
    assert world.spread()["b"] == 2
    go_on(world, 3.0)

    assert world.spread() == {"a": 1, "": 2}
    evicted = [task for task in world.view.tasks.values() if task.eviction]
    assert {task.eviction for task in evicted} == {"its node is drained"}


def drain(world: Driven, node_id: NodeId, *, timeout_s: float) -> None:
    node = world.view.nodes[node_id]
    spec = structs.replace(node.spec, availability=Availability.DRAIN, drain_timeout_s=timeout_s)
    changed = structs.replace(node, spec=spec, availability_at=world.now)
    world.write((layout.node_key(node_id), changed))


def test_a_drain_that_is_called_off_keeps_what_is_still_there() -> None:
    world = running(6, UpdatePolicy(order=START_FIRST))
    before = {task.id for task in world.live()}
    world.set_node(B, availability=Availability.DRAIN)
    world.plan()

    world.set_node(B, availability=Availability.ACTIVE)
    go_on(world, 5.0)

    assert {task.id for task in world.live()} == before


@pytest.mark.parametrize(("most", "least"), [(0, 3), (1, 5), (2, 4)])
def test_no_more_replicas_are_moved_at_a_time_than_may_be_unavailable(
    most: int, least: int
) -> None:
    world = running(6, nodes=2, max_unavailable=most)
    world.set_node(B, availability=Availability.DRAIN)

    assert go_on(world, 20.0) == least
    assert world.spread() == {"n0000": 6}


@pytest.mark.parametrize("order", list(UpdateOrder))
def test_an_evicted_task_runs_elsewhere_afterwards(order: UpdateOrder) -> None:
    world = running(2, UpdatePolicy(order=order), nodes=2)
    victim = next(task for task in world.live() if task.node_id == A)
    plan = Plan(service_id=WEB, decisions=(Evict(victim.id, "to make room"),))
    world.perform(plan)

    least = go_on(world, 10.0)

    assert world.spread() == {"n0001": 2}
    assert least == (2 if order is START_FIRST else 1)


def test_a_taint_drives_out_what_does_not_bear_it() -> None:
    world = running(6, UpdatePolicy(order=START_FIRST))
    taint = Taint(key="maintenance", effect=TaintEffect.NO_EXECUTE)
    world.set_node(B, taints=(taint,))

    least = go_on(world, 10.0)

    assert least == 6
    assert B not in world.spread()


def test_a_changed_label_moves_what_it_no_longer_admits() -> None:
    world = Driven()
    for name in "ab":
        world.node(name, labels={"zone": "east"})
    near = Placement(constraints=("node.labels.zone==east",))
    world.service(replicas=2, task=TaskSpec(placement=near), update=UpdatePolicy(order=START_FIRST))
    world.converge()
    world.wait(10.0)
    world.set_node(NodeId("a"), labels={})

    least = go_on(world, 10.0)

    assert least == 2
    assert world.spread() == {"b": 2}


def test_nothing_is_replaced_while_a_dependency_is_not_met() -> None:
    world = running(2)
    world.plan()
    spec = world.view.services[WEB].spec.task
    update(world, depends_on=(Dependency(service="db"),), force_update=spec.force_update)

    go_on(world, 10.0)
    assert versions(world) == {1: 2}
    world.service("db")
    world.converge()
    go_on(world, 20.0)

    assert versions(world) == {2: 2}


def test_a_removed_service_leaves_no_ledger() -> None:
    world = running(2)
    update(world)
    go_on(world, 20.0)
    assert WEB in world.view.ledgers

    act(world, services.remove(world.view, WEB))
    world.converge()

    assert not [key for key in world.keys if str(WEB) in key]
