"""What a slot remembers of its past: enough that no attempt ever bears another's name."""

import pytest

from manager.decisions import RemoveTask
from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft
from manager.orchestrator.reaping import YOUNG_S, bury_gone, trim
from swarm.ids import NodeId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven

STATES = {Phase.ENDED: TaskState.FAILED, Phase.WAITING: TaskState.PENDING}


def attempts(*phases: Phase) -> list[Attempt]:
    return [
        Attempt(
            task=Task(
                id=TaskId(f"t{number}"),
                service_id=WEB,
                slot=1,
                attempt=number,
                node_id=NodeId("" if phase is Phase.WAITING else f"n{number}"),
            ),
            state=STATES.get(phase, TaskState.RUNNING),
            phase=phase,
        )
        for number, phase in enumerate(phases, 1)
    ]


def draft() -> Draft:
    return Draft(Driven().view, WEB, now=YOUNG_S + 1.0)


def forgotten(plan: Draft) -> list[str]:
    return [each.task_id for each in plan.finished().decisions if isinstance(each, RemoveTask)]


def test_an_attempt_whose_node_left_is_forgotten_once_another_has_a_node() -> None:
    plan = draft()

    bury_gone(attempts(Phase.LIVE, Phase.GONE, Phase.LIVE), plan, is_followed=False)

    assert forgotten(plan) == ["t2"]


def test_an_attempt_whose_node_left_is_kept_while_what_follows_only_waits() -> None:
    """What waits may be forgotten before it has a node, and what comes then is counted anew."""
    plan = draft()

    bury_gone(attempts(Phase.LIVE, Phase.GONE, Phase.WAITING), plan, is_followed=False)

    assert forgotten(plan) == []


def test_an_attempt_whose_node_left_is_kept_when_the_plan_forgets_what_waits() -> None:
    own, plan = attempts(Phase.LIVE, Phase.GONE, Phase.WAITING), draft()
    plan.remove(own[-1])

    bury_gone(own, plan, is_followed=False)

    assert forgotten(plan) == ["t3"]


@pytest.mark.parametrize(("is_begun", "left"), [(True, ["t1", "t2"]), (False, ["t1"])])
def test_the_last_that_had_a_node_is_kept_until_another_has_one(
    is_begun: bool, left: list[str]
) -> None:
    plan = draft()

    trim(attempts(Phase.ENDED, Phase.ENDED), 0, plan, is_opened=True, is_begun=is_begun)

    assert forgotten(plan) == left
