"""Stories of one task, and the laws that hold in any order of events."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent import life
from agent.effects import (
    Abandon,
    Delete,
    Effect,
    Kill,
    Leave,
    Prepare,
    Report,
    Signal,
    Start,
    Wait,
)
from agent.events import (
    Abandoned,
    Adopted,
    Assigned,
    Delayed,
    Event,
    Examined,
    Exited,
    GraceExpired,
    Left,
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
from swarm.specs import Port, PublishMode
from swarm.states import HealthState, TaskState

ID = TaskId("t1")
STARTED = Started(pid=42, started_at=99.0)
KILLED = Exited(exit_code=137)
CHECKED = Started(pid=42, started_at=99.0, is_checked=True)
HEALTHY = Examined(health=HealthState.HEALTHY)
UNHEALTHY = Examined(
    health=HealthState.UNHEALTHY, failing_streak=3, output="connection\n refused\n"
)


def live(
    *events: Event, grace_s: float = 10.0, is_attached: bool = False
) -> tuple[Life, list[Effect]]:
    """Live through `events`; the effects of all of them."""
    one = life.begin(ID, at=100.0, grace_s=grace_s, is_attached=is_attached)
    effects = list[Effect]()
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


def test_a_container_with_a_check_is_starting_until_it_is_healthy() -> None:
    one, effects = live(Assigned(), Prepared(), CHECKED)
    assert (one.state, one.seen.health) == (TaskState.STARTING, HealthState.STARTING)
    assert one.seen.pid == 42
    assert reported(effects)[-1] is TaskState.STARTING

    one, more = life.step(one, HEALTHY, at=105.0)

    assert (one.state, one.seen.health, one.seen.at) == (
        TaskState.RUNNING,
        HealthState.HEALTHY,
        105.0,
    )
    assert reported(list(more)) == [TaskState.RUNNING]


def test_failures_in_between_are_told_and_the_task_runs_on() -> None:
    one, _ = live(Assigned(), Prepared(), CHECKED, HEALTHY)

    one, effects = life.step(one, replace(HEALTHY, failing_streak=1), at=130.0)

    assert (one.state, one.seen.failing_streak) == (TaskState.RUNNING, 1)
    assert one.seen.at == 101.0, "it runs since then, whatever its check says"
    assert effects == (Report(one.seen),)


def test_the_same_answer_again_is_not_told_again() -> None:
    one, _ = live(Assigned(), Prepared(), CHECKED, HEALTHY)

    assert life.step(one, HEALTHY, at=130.0) == (one, ())


def test_an_unhealthy_container_is_stopped_and_its_task_fails() -> None:
    """A program hangs; nobody asked it to stop, and it does not exit by itself.

    1. The check of a running task fails too often.
    2. It is told that the task is unhealthy, and asked to stop; it still counts as running.
    3. It does not listen, and is killed.
    4. Only now does the task fail, with what the check printed, and another can be started.
    """
    one, _ = live(Assigned(), Prepared(), CHECKED, HEALTHY)
    one, effects = life.step(one, UNHEALTHY, at=130.0)
    assert effects == (Report(one.seen), Signal(ID), Wait(ID, 10.0))
    assert (one.state, one.seen.health) == (TaskState.RUNNING, HealthState.UNHEALTHY)

    one, effects = life.step(one, GraceExpired(), at=140.0)
    assert effects[0] == Kill(ID)

    one, effects = life.step(one, KILLED, at=140.1)
    assert one.state is TaskState.FAILED
    assert one.seen.error == "container is unhealthy: connection refused"
    assert one.seen.exit_code == 137


def test_a_container_that_never_gets_healthy_fails_without_having_run() -> None:
    one, effects = live(Assigned(), Prepared(), CHECKED, UNHEALTHY, Exited(exit_code=0))

    assert one.state is TaskState.FAILED
    assert "unhealthy" in one.seen.error
    assert TaskState.RUNNING not in reported(effects)


def test_a_stop_that_is_wanted_forgives_the_illness() -> None:
    one, _ = live(Assigned(), Prepared(), CHECKED, UNHEALTHY, StopRequested(), KILLED)

    assert one.state is TaskState.SHUTDOWN
    assert one.seen.error == ""


def test_a_container_that_is_not_healthy_yet_can_be_asked_to_stop() -> None:
    one, effects = live(Assigned(), Prepared(), CHECKED, StopRequested())
    assert effects[-2:] == [Signal(ID), Wait(ID, 10.0)]

    one, _ = life.step(one, HEALTHY, at=101.0)
    assert one.state is TaskState.STARTING

    one, _ = life.step(one, KILLED, at=102.0)
    assert one.state is TaskState.SHUTDOWN


def test_a_check_that_is_heard_of_before_the_start_counts() -> None:
    """Two answers of the runtime overtake each other; the check will not say it again."""
    one, effects = live(Assigned(), Prepared(), HEALTHY, CHECKED)

    assert one.state is TaskState.RUNNING
    assert reported(effects)[-2:] == [TaskState.STARTING, TaskState.RUNNING]


def test_an_exit_beats_a_check_that_came_before_it() -> None:
    one, _ = live(Assigned(), Prepared(), UNHEALTHY, Exited(exit_code=2), CHECKED)

    assert one.state is TaskState.FAILED
    assert one.seen.error == "task: non-zero exit (2)"


def test_an_adopted_container_is_starting_unless_it_ran_before() -> None:
    unproven = Adopted(pid=3, started_at=1.0, is_checked=True)

    one, _ = live(unproven, Assigned())
    assert one.state is TaskState.STARTING
    one, _ = life.step(one, HEALTHY, at=101.0)
    assert one.state is TaskState.RUNNING

    one, effects = live(replace(unproven, was_running=True), Assigned())
    assert one.state is TaskState.RUNNING
    assert Prepare(ID) not in effects


def test_a_task_leaves_its_networks_before_it_is_signalled() -> None:
    """Others call a task of a network that is to stop.

    1. The manager wants it stopped; the word of that reaches its callers as it reaches us.
    2. We let it answer on until they have had the time to hear it.
    3. Only then it is asked to stop, and has all of its grace.
    """
    one, effects = live(Assigned(), Prepared(), STARTED, StopRequested(), is_attached=True)
    assert effects[-1] == Leave(ID)
    assert Signal(ID) not in effects

    one, effects = life.step(one, Left(), at=102.0)
    assert effects == (Signal(ID), Wait(ID, 10.0))

    one, _ = life.step(one, KILLED, at=103.0)
    assert one.state is TaskState.SHUTDOWN


def test_a_task_without_grace_is_killed_after_it_has_left() -> None:
    events = (Assigned(), Prepared(), STARTED, StopRequested(), Left())

    _, effects = live(*events, is_attached=True, grace_s=0.0)

    assert effects[-3:] == [Leave(ID), Kill(ID), Wait(ID, life.KILL_AGAIN_S)]


def test_an_unhealthy_task_is_told_leaves_and_is_stopped() -> None:
    one, _ = live(Assigned(), Prepared(), CHECKED, HEALTHY, is_attached=True)

    one, effects = life.step(one, UNHEALTHY, at=130.0)
    assert effects == (Report(one.seen), Leave(ID))

    one, effects = life.step(one, Left(), at=130.3)
    assert effects == (Signal(ID), Wait(ID, 10.0))


def test_a_task_that_nobody_calls_yet_has_nothing_to_leave() -> None:
    """It is not RUNNING before its check succeeds, so it was never in anybody's answers."""
    _, young = live(Assigned(), Prepared(), CHECKED, StopRequested(), is_attached=True)
    _, unborn = live(Assigned(), Prepared(), StopRequested(), CHECKED, is_attached=True)

    assert young[-2:] == unborn[-2:] == [Signal(ID), Wait(ID, 10.0)]


def test_an_exit_while_it_leaves_ends_the_task_and_the_answer_is_late() -> None:
    one, effects = live(
        Assigned(), Prepared(), STARTED, StopRequested(), Exited(exit_code=0), is_attached=True
    )
    assert one.state is TaskState.SHUTDOWN

    assert life.step(one, Left(), at=103.0) == (one, ())
    assert Signal(ID) not in effects


def test_a_stop_that_is_wanted_while_an_ill_task_leaves_forgives_the_illness() -> None:
    one, effects = live(
        Assigned(), Prepared(), CHECKED, HEALTHY, UNHEALTHY, StopRequested(), Withdrawn(),
        Left(), KILLED, is_attached=True,
    )  # fmt: skip

    assert effects.count(Leave(ID)) == effects.count(Signal(ID)) == 1
    assert (one.state, one.seen.error) == (TaskState.SHUTDOWN, "")
    assert effects[-1] == Delete(ID)


def test_ports_that_a_task_has_of_its_node_are_told() -> None:
    port = Port(target=80, published=33000, mode=PublishMode.HOST)

    started, _ = live(Assigned(), Prepared(), replace(STARTED, ports=(port,)))
    adopted, _ = live(Adopted(pid=7, started_at=50.0, ports=(port,)), Assigned())

    assert started.seen.ports == adopted.seen.ports == (port,)


def test_long_output_of_a_check_is_cut() -> None:
    one, _ = live(Assigned(), Prepared(), CHECKED, replace(UNHEALTHY, output="x" * 9999), KILLED)

    assert len(one.seen.error) < 300
    assert one.seen.error.endswith("x…")


EVENTS = st.one_of(
    st.sampled_from(
        [
            Assigned(), Adopted(pid=3, started_at=1.0), Vanished(), StopRequested(), Withdrawn(),
            Prepared(), PrepareFailed(reason="no"), STARTED, StartFailed(reason="no"),
            Abandoned(), Delayed(reason="x"), Left(), GraceExpired(), CHECKED,
            Adopted(pid=3, started_at=1.0, is_checked=True),
            Adopted(pid=3, started_at=1.0, is_checked=True, was_running=True),
        ]
    ),
    st.builds(
        Examined,
        health=st.sampled_from([each for each in HealthState if each]),
        failing_streak=st.integers(0, 3),
        output=st.sampled_from(["", "refused"]),
    ),
    st.builds(Exited, exit_code=st.sampled_from([0, 1, 137]), oom_killed=st.booleans()),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_law_states_never_move_backwards(events: list[Event], is_attached: bool) -> None:
    _, effects = live(*events, is_attached=is_attached)

    seen = reported(effects)
    assert seen == sorted(seen)


@given(
    st.lists(EVENTS, max_size=30),
    st.sampled_from([StopRequested(), Withdrawn()]),
    st.booleans(),
)
def test_law_whatever_happened_a_task_asked_to_stop_ends(
    events: list[Event], ask: Event, is_attached: bool
) -> None:
    """Once asked, each order is answered as the shell answers it, and that ends the task."""
    one, _ = live(*events, is_attached=is_attached)
    one, todo = life.step(one, ask, at=200.0)
    answers = {
        Work.PREPARE: Abandoned(),
        Work.START: STARTED,
    }
    stopping = {Stop.LEAVING: Left(), Stop.ASKED: GraceExpired(), Stop.KILLED: KILLED}

    for _ in range(5):
        if one.state.is_terminal:
            break
        if one.work is not Work.NONE:
            answer: Event = answers[one.work]
        else:
            answer = stopping[one.stop]
        one, more = life.step(one, answer, at=201.0)
        todo += more

    assert one.state.is_terminal
    if isinstance(ask, Withdrawn) and not any(isinstance(each, Withdrawn) for each in events):
        assert todo[-1] == Delete(ID)


@given(st.lists(EVENTS, max_size=30))
def test_law_an_attached_task_that_runs_leaves_once_before_any_signal(
    events: list[Event],
) -> None:
    _, effects = live(*events, is_attached=True)

    assert effects.count(Leave(ID)) <= 1
    orders = [k for k, each in enumerate(effects) if isinstance(each, Signal | Kill)]
    before = effects[: orders[0]] if orders else []
    if TaskState.RUNNING in reported(before):
        assert Leave(ID) in before


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_law_a_terminal_task_has_no_work_left_and_starts_nothing(
    events: list[Event], is_attached: bool
) -> None:
    one, _ = live(*events, is_attached=is_attached)
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
    assert not [
        each for each in effects if isinstance(each, Prepare | Start | Leave | Signal | Kill)
    ]


def test_what_a_preparation_waits_for_is_reported_while_it_waits() -> None:
    waiting = Delayed(reason="waiting for secret db")

    one, effects = live(Assigned(), waiting)
    _, late = live(Assigned(), StopRequested(), waiting)

    assert one.seen.message == "waiting for secret db"
    assert reported(effects) == [TaskState.PREPARING, TaskState.PREPARING]
    assert reported(late) == [TaskState.PREPARING]
