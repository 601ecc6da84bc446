"""Stories of one task, and the laws that hold in any order of events."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from agent import life
from agent.effects import Abandon, Delete, Effect, Kill, Prepare, Report, Signal, Start, Wait
from agent.events import (
    Abandoned,
    Adopted,
    Assigned,
    Event,
    Exited,
    GraceExpired,
    Prepared,
    PrepareFailed,
    Started,
    StartFailed,
    StopRequested,
    Vanished,
    Withdrawn,
)
from agent.life import Life, Stop, Work
from swarm.ids import TaskId
from swarm.states import TaskState

ID = TaskId("t1")
STARTED = Started(pid=42, started_at=99.0)
KILLED = Exited(exit_code=137)


def live(*events: Event, grace_s: float = 10.0) -> tuple[Life, list[Effect]]:
    """Live through `events`; the effects of all of them."""
    one, effects = life.begin(ID, at=100.0, grace_s=grace_s), list[Effect]()
    for event in events:
        one, more = life.step(one, event, at=101.0)
        one.check()
        effects += more
    return one, effects


def reported(effects: list[Effect]) -> list[TaskState]:
    return [each.observation.state for each in effects if isinstance(each, Report)]


def test_a_task_prepares_starts_runs_and_completes() -> None:
    one, effects = live(Assigned(), Prepared(), STARTED, Exited(exit_code=0, finished_at=105.0))

    assert one.state is TaskState.COMPLETE
    assert one.seen.at == 105.0
    assert (one.seen.pid, one.seen.started_at) == (42, 99.0)
    assert [each for each in effects if not isinstance(each, Report)] == [Prepare(ID), Start(ID)]
    assert reported(effects) == [
        TaskState.PREPARING,
        TaskState.STARTING,
        TaskState.RUNNING,
        TaskState.COMPLETE,
    ]


def test_a_non_zero_exit_is_a_failure_with_its_code() -> None:
    one, _ = live(Assigned(), Prepared(), STARTED, Exited(exit_code=3, message="bye"))

    assert one.state is TaskState.FAILED
    assert one.seen.exit_code == 3
    assert one.seen.error == "task: non-zero exit (3): bye"


def test_an_exit_for_lack_of_memory_is_a_failure_even_with_code_zero() -> None:
    one, _ = live(Assigned(), Prepared(), STARTED, Exited(exit_code=0, oom_killed=True))

    assert one.state is TaskState.FAILED
    assert one.seen.oom_killed
    assert "out of memory" in one.seen.error


def test_a_node_that_cannot_prepare_rejects_the_task() -> None:
    one, _ = live(Assigned(), PrepareFailed(reason="image gone:1 not found"))

    assert one.state is TaskState.REJECTED
    assert one.seen.error == "image gone:1 not found"


def test_a_container_that_does_not_start_is_a_failure() -> None:
    one, _ = live(Assigned(), Prepared(), StartFailed(reason="exec /x: no such file"))

    assert one.state is TaskState.FAILED
    assert one.seen.error == "exec /x: no such file"


def test_exit_while_stopping_is_not_a_failure() -> None:
    """The manager stops a task; its container dies of our own signal.

    1. The task runs, and the manager wants it stopped: we signal and wait the grace out.
    2. The process does not listen, so we kill it.
    3. The killed process reports exit code 137.
    4. Only now does the task end, and it ends SHUTDOWN: a failure here would count against
       the service and start another.
    """
    one, effects = live(Assigned(), Prepared(), STARTED, StopRequested())
    assert effects[-2:] == [Signal(ID), Wait(ID, 10.0)]
    assert one.state is TaskState.RUNNING

    one, more = life.step(one, GraceExpired(), at=111.0)
    assert more == (Kill(ID), Wait(ID, life.KILL_AGAIN_S))

    one, _ = life.step(one, KILLED, at=111.1)
    assert one.state is TaskState.SHUTDOWN
    assert one.seen.exit_code == 137
    assert not one.seen.error


def test_a_kill_is_repeated_until_the_exit_is_heard_of() -> None:
    events = (Assigned(), Prepared(), STARTED, StopRequested(), GraceExpired(), GraceExpired())

    _, effects = live(*events)

    assert effects.count(Kill(ID)) == 2


def test_no_grace_kills_at_once() -> None:
    _, effects = live(Assigned(), Prepared(), STARTED, StopRequested(), grace_s=0.0)

    assert Kill(ID) in effects
    assert Signal(ID) not in effects


def test_a_stop_during_preparation_gives_it_up_and_never_starts() -> None:
    one, effects = live(Assigned(), StopRequested())
    assert effects[-1] == Abandon(ID)
    assert not one.state.is_terminal

    for late in (Abandoned(), Prepared(), PrepareFailed(reason="cancelled")):
        ended, more = life.step(one, late, at=101.0)
        assert ended.state is TaskState.SHUTDOWN
        assert Start(ID) not in more


def test_a_stop_during_start_waits_for_the_process_and_then_asks_it() -> None:
    one, effects = live(Assigned(), Prepared(), StopRequested(), STARTED)

    assert one.state is TaskState.RUNNING
    assert effects[-2:] == [Signal(ID), Wait(ID, 10.0)]


def test_an_exit_heard_of_before_the_start_keeps_the_pid_and_ends_the_task() -> None:
    """Two answers of the runtime overtake each other."""
    one, effects = live(Assigned(), Prepared(), Exited(exit_code=2), STARTED)

    assert one.state is TaskState.FAILED
    assert one.seen.pid == 42
    assert reported(effects)[-1] is TaskState.FAILED


def test_a_start_failure_outranks_the_exit_it_caused() -> None:
    one, _ = live(Assigned(), Prepared(), Exited(exit_code=127), StartFailed(reason="no such file"))

    assert one.seen.error == "no such file"


def test_a_withdrawn_task_is_stopped_deleted_and_not_spoken_of() -> None:
    one, effects = live(Assigned(), Prepared(), STARTED, Withdrawn(), KILLED)

    assert effects[-1] == Delete(ID)
    assert reported(effects)[-1] is TaskState.RUNNING
    assert one.state is TaskState.SHUTDOWN


def test_an_ended_task_is_deleted_only_when_it_is_withdrawn() -> None:
    """Logs of ended tasks stay readable while the cluster remembers the task."""
    one, effects = live(Assigned(), Prepared(), STARTED, Exited(exit_code=0))
    assert Delete(ID) not in effects

    _, more = life.step(one, Withdrawn(), at=102.0)
    assert more == (Delete(ID),)


def test_a_withdrawn_task_that_comes_back_reports_its_end() -> None:
    one, effects = live(Assigned(), Prepared(), STARTED, Withdrawn(), Assigned(), KILLED)

    assert Delete(ID) not in effects
    assert reported(effects)[-2:] == [TaskState.RUNNING, TaskState.SHUTDOWN]
    assert one.state is TaskState.SHUTDOWN


def test_an_adopted_container_goes_on_and_is_not_started() -> None:
    one, effects = live(Adopted(pid=7, started_at=50.0), Assigned())

    assert one.state is TaskState.RUNNING
    assert reported(effects) == [TaskState.RUNNING]
    assert len(effects) == 1


def test_a_task_whose_container_vanished_fails_and_is_not_run_twice() -> None:
    one, effects = live(Vanished(), Assigned())

    assert one.state is TaskState.FAILED
    assert Prepare(ID) not in effects


def test_a_task_stopped_before_it_began_just_ends() -> None:
    one, effects = live(StopRequested(), Assigned())

    assert one.state is TaskState.SHUTDOWN
    assert reported(effects) == [TaskState.SHUTDOWN]


EVENTS = st.one_of(
    st.sampled_from(
        [
            Assigned(), Adopted(pid=3, started_at=1.0), Vanished(), StopRequested(), Withdrawn(),
            Prepared(), PrepareFailed(reason="no"), STARTED, StartFailed(reason="no"),
            Abandoned(), GraceExpired(),
        ]
    ),
    st.builds(Exited, exit_code=st.sampled_from([0, 1, 137]), oom_killed=st.booleans()),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=30))
def test_law_states_never_move_backwards(events: list[Event]) -> None:
    _, effects = live(*events)

    seen = reported(effects)
    assert seen == sorted(seen)


@given(st.lists(EVENTS, max_size=30), st.sampled_from([StopRequested(), Withdrawn()]))
def test_law_whatever_happened_a_task_asked_to_stop_ends(events: list[Event], ask: Event) -> None:
    """Once asked, each order is answered as the shell answers it, and that ends the task."""
    one, _ = live(*events)
    one, todo = life.step(one, ask, at=200.0)
    answers = {
        Work.PREPARE: Abandoned(),
        Work.START: STARTED,
    }

    for _ in range(5):
        if one.state.is_terminal:
            break
        if one.work is not Work.NONE:
            answer: Event = answers[one.work]
        else:
            answer = GraceExpired() if one.stop is Stop.ASKED else KILLED
        one, more = life.step(one, answer, at=201.0)
        todo += more

    assert one.state.is_terminal
    if isinstance(ask, Withdrawn) and not any(isinstance(each, Withdrawn) for each in events):
        assert todo[-1] == Delete(ID)


@given(st.lists(EVENTS, max_size=30))
def test_law_a_terminal_task_has_no_work_left_and_starts_nothing(events: list[Event]) -> None:
    one, _ = live(*events)
    if not one.state.is_terminal:
        return

    after, effects = reduce(
        lambda so_far, event: (
            (stepped := life.step(so_far[0], event, at=300.0))[0],
            so_far[1] + stepped[1],
        ),
        events,
        (one, ()),
    )

    assert after.state is one.state
    assert not [each for each in effects if isinstance(each, Prepare | Start | Signal | Kill)]
