"""A service has converged when it is as wanted, and stays so if it had failed before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from swarm.objects import ROLLED_BACK, Rollout
from swarm.states import RolloutState
from swarmctl.progress import STEADY_S, Convergence, Progress, bar, picture, summary


def progress(running: int, wanted: int = 3, **fields: object) -> Progress:
    return Progress(running=running, wanted=wanted, **fields)


@pytest.mark.parametrize("settle_s", [0.0, 1.0])
def test_a_service_that_never_failed_settles_briefly(settle_s: float) -> None:
    convergence = Convergence(settle_s=settle_s)

    convergence.seen(progress(2), now=1.0)
    assert not convergence.has_converged(now=100.0)
    convergence.seen(progress(3), now=100.0)

    assert convergence.has_converged(now=100.0) == (settle_s == 0)
    assert convergence.has_converged(now=100.0 + settle_s)


def test_a_container_that_dies_while_it_settles_is_noticed() -> None:
    """It runs for some milliseconds, which is long enough to be reported."""
    convergence = Convergence(settle_s=1.0)

    convergence.seen(progress(3), now=1.0)
    convergence.seen(progress(2, problems=("exit 3",)), now=1.1)
    convergence.seen(progress(3), now=1.6)

    assert not convergence.has_converged(now=2.6)
    assert convergence.deadline() == 1.6 + STEADY_S


def test_a_service_that_failed_must_stay_up_first() -> None:
    """A container dies half a second after each start.

    1. It fails, and is started again.
    2. Everything runs: not yet converged, because it has failed before.
    3. It fails once more within the time; the time starts over.
    4. It stays up for the whole time.
    """
    convergence = Convergence(settle_s=0.0)
    convergence.seen(progress(2, problems=("exit 1",)), now=1.0)
    convergence.seen(progress(3), now=2.0)
    assert convergence.deadline() == 2.0 + STEADY_S
    assert not convergence.has_converged(now=2.0)

    convergence.seen(progress(2, problems=("exit 1",)), now=3.0)
    assert convergence.deadline() is None

    convergence.seen(progress(3), now=4.0)
    assert not convergence.has_converged(now=4.0 + STEADY_S - 0.1)
    assert convergence.has_converged(now=4.0 + STEADY_S)


def test_what_is_to_be_stopped_keeps_a_service_from_converging() -> None:
    convergence = Convergence(settle_s=0.0)
    for seen in (progress(3, old=2), progress(5), progress(2, wanted=0), progress(0, 0, old=1)):
        convergence.seen(seen, now=1.0)
        assert not convergence.has_converged(now=9.0)

    convergence.seen(progress(0, wanted=0), now=10.0)

    assert convergence.has_converged(now=10.0)


def test_tasks_that_completed_are_not_counted_twice() -> None:
    """The manager counts them among those that run."""
    assert not progress(2, states={"complete": 1, "running": 1}).is_reached
    assert progress(3, states={"complete": 3}).is_reached


@given(
    st.lists(
        st.tuples(
            st.builds(
                Progress,
                wanted=st.integers(0, 5),
                running=st.integers(0, 5),
                old=st.integers(0, 2),
                problems=st.sampled_from([(), ("x",)]),
            ),
            st.floats(0, 10),
        )
    )
)
def test_law_only_a_service_as_wanted_has_converged(seen: list[tuple[Progress, float]]) -> None:
    convergence, now = Convergence(settle_s=0.0), 0.0
    for each, step in seen:
        now += step
        convergence.seen(each, now=now)
        convergence.check()
        assert each.is_reached or not convergence.has_converged(now=now + 1e9)
        assert not each.is_reached or convergence.has_converged(now=now + STEADY_S)


@given(st.integers(-1, 1000), st.integers(-1, 1000), st.integers(1, 80))
def test_law_a_bar_keeps_its_width(done: int, total: int, width: int) -> None:
    assert len(bar(done, total, width=width)) == width + 2


def test_a_bar_is_full_only_at_the_end() -> None:
    assert bar(0, 4, width=4) == "[>   ]"
    assert bar(3, 4, width=4) == "[===>]"
    assert bar(4, 4, width=4) == "[====]"
    assert bar(0, 0, width=4) == "[====]"


def test_a_picture_shows_counts_states_and_reasons() -> None:
    seen = progress(37, 100, states={"starting": 60, "running": 37}, problems=("no node",), old=2)

    lines = picture(seen, columns=80)

    assert lines[0] == summary(seen) == "overall progress: 37 out of 100 tasks"
    assert lines[1].endswith(" 37%")
    assert lines[2:] == [
        "tasks: 37 running, 60 starting",
        "still to be stopped: 2",
        "  no node",
    ]
    assert all(len(line) < 30 for line in picture(seen, columns=30))


def rolling(
    state: RolloutState, *, running: int = 3, message: str = "", at: float = 5.0
) -> Progress:
    rollout = Rollout(state=state, message=message, started_at=at, spec_version=2)
    return progress(running, rollout=rollout)


def test_a_rollout_is_waited_for_until_the_managers_have_watched_it() -> None:
    """Everything runs, but the last task is still being watched.

    There is nothing to add to that: what they have watched has settled.
    """
    convergence = Convergence(settle_s=1.0)

    convergence.seen(rolling(RolloutState.UPDATING), now=1.0)
    assert convergence.deadline() is None
    convergence.seen(rolling(RolloutState.COMPLETED), now=6.0)

    assert convergence.has_converged(now=6.0)


@pytest.mark.parametrize("state", [RolloutState.PAUSED, RolloutState.ROLLBACK_PAUSED])
def test_a_rollout_that_is_paused_has_failed(state: RolloutState) -> None:
    convergence = Convergence(settle_s=1.0)

    convergence.seen(rolling(state, message="update paused: task t failed"), now=1.0)

    assert convergence.failure == "update paused: task t failed"


def test_a_service_that_was_rolled_back_is_not_what_was_asked_for() -> None:
    """It is told once the service is as it was before, not when that begins."""
    convergence = Convergence(settle_s=1.0)
    why = f"{ROLLED_BACK}task t failed"

    convergence.seen(rolling(RolloutState.UPDATING), now=1.0)
    convergence.seen(rolling(RolloutState.ROLLBACK_STARTED, running=2, message=why), now=2.0)
    assert not convergence.failure
    convergence.seen(rolling(RolloutState.ROLLBACK_COMPLETED, message=why), now=3.0)

    assert convergence.failure == why


def test_a_rollback_of_an_earlier_day_is_no_failure_of_today() -> None:
    convergence = Convergence(settle_s=0.0)
    why = f"{ROLLED_BACK}task t failed"

    convergence.seen(rolling(RolloutState.ROLLBACK_COMPLETED, message=why), now=1.0)

    assert not convergence.failure
    assert convergence.has_converged(now=1.0)


def test_a_rollback_that_was_asked_for_is_no_failure() -> None:
    convergence = Convergence(settle_s=0.0)

    convergence.seen(rolling(RolloutState.ROLLBACK_STARTED, message="in progress"), now=1.0)
    convergence.seen(rolling(RolloutState.ROLLBACK_COMPLETED, message="completed"), now=2.0)

    assert not convergence.failure
    assert convergence.has_converged(now=2.0)


def test_canaries_that_are_up_are_what_was_asked_for() -> None:
    convergence = Convergence(settle_s=0.0)

    held = rolling(RolloutState.CANARY, message="promote them")
    convergence.seen(structs.replace(held, states={"running": held.wanted - 1}), now=1.0)
    assert not convergence.has_converged(now=1.0)
    convergence.seen(structs.replace(held, states={"running": held.wanted}), now=2.0)

    assert convergence.has_converged(now=2.0)
    assert convergence.latest is not None
    assert convergence.latest.is_held
