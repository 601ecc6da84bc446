import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.events import Examined, Exited
from agent.standalone.effects import (
    Announce,
    Delay,
    Effect,
    Forget,
    Kill,
    Release,
    Remove,
    Resume,
    Signal,
    Start,
    Wait,
)
from agent.standalone.events import (
    Adopted,
    Booted,
    DelayExpired,
    Event,
    GraceExpired,
    KillRequested,
    Paused,
    Released,
    Removed,
    RemoveFailed,
    RemoveRequested,
    RestartRequested,
    Resumed,
    Started,
    StartFailed,
    StartRequested,
    StopRequested,
    Vanished,
)
from agent.standalone.life import KILL_AGAIN_S, Life, Manner, Removal, Work, resting, step
from swarm.errors import Refused
from swarm.standalone import ContainerRestart, ContainerState, Restarting
from swarm.states import HealthState

TERM, KILL = 15, 9
ALWAYS = Manner(restart=ContainerRestart(condition=Restarting.ALWAYS))
UNLESS = Manner(restart=ContainerRestart(condition=Restarting.UNLESS_STOPPED))
TWICE = Manner(restart=ContainerRestart(condition=Restarting.ON_FAILURE, max_retries=2))
PASSING = Manner(auto_remove=True)
ONCE = Manner()

STARTED = Started(pid=7, started_at=10.0)
STOP = StopRequested(signal=TERM, grace_s=10.0)
RESTART = RestartRequested(signal=TERM, grace_s=10.0)
FATAL = KillRequested(signal=KILL, is_final=True)


def exited(code: int = 1, at: float = 11.0, **more: object) -> Exited:
    return Exited(exit_code=code, finished_at=at, **more)


def live(*events: Event, life: Life | None = None, manner: Manner = ONCE) -> Life:
    """The life after these events."""
    return told(*events, life=life, manner=manner)[0]


def told(
    *events: Event, life: Life | None = None, manner: Manner = ONCE
) -> tuple[Life, tuple[Effect, ...]]:
    """The life after these events, and what the last one called for."""
    found, effects = life or Life(), ()
    for event in events:
        found, effects = step(found, event, manner, at=20.0)
        found.check()
    return found, effects


def running(manner: Manner = ONCE) -> Life:
    return live(StartRequested(), STARTED, manner=manner)


def actions(effects: tuple[Effect, ...]) -> list[str]:
    return [each.action for each in effects if isinstance(each, Announce)]


def test_a_container_that_ends_counts_as_running_until_what_it_had_is_free() -> None:
    """Whoever waits for the end publishes the same port again at once."""
    life, effects = told(exited(), life=running())
    assert life.state is ContainerState.RUNNING
    assert effects[-1] == Release()

    life = live(Released(), life=life)

    assert (life.state, life.exit_code, life.pid) == (ContainerState.EXITED, 1, 0)


def test_an_end_that_is_heard_of_before_the_start_waits_for_it() -> None:
    life = live(StartRequested(), exited(3))

    life, effects = told(STARTED, life=life)

    assert actions(effects) == ["start", "die"]
    assert live(Released(), life=life).exit_code == 3


def test_health_that_is_heard_of_before_the_start_is_not_lost() -> None:
    healthy = Examined(health=HealthState.HEALTHY)
    life, effects = told(StartRequested(), healthy, replace(STARTED, is_checked=True))
    assert life.health is HealthState.HEALTHY
    assert actions(effects) == ["start", "health_status: healthy"]


def test_starting_twice_starts_once() -> None:
    life, effects = told(StartRequested(), StartRequested())
    assert effects == ()
    assert told(StartRequested(), life=live(STARTED, life=life))[1] == ()


def test_a_start_that_fails_leaves_it_as_it_was_with_the_reason() -> None:
    life = live(StartRequested(), StartFailed(reason="no such program", exit_code=127))
    assert (life.state, life.exit_code) == (ContainerState.CREATED, 127)
    assert life.error == "no such program"


def test_one_that_removes_itself_goes_when_it_ends_and_when_it_cannot_start() -> None:
    life, effects = told(exited(), Released(), life=running(PASSING), manner=PASSING)
    assert effects == (Remove(volumes=True),)
    life, effects = told(Removed(), life=life, manner=PASSING)
    assert actions(effects) == ["destroy"]
    assert effects[-1] == Forget()

    failed = StartFailed(reason="no", exit_code=128)
    assert told(StartRequested(), failed, manner=PASSING)[1] == (Remove(volumes=True),)


def test_stopping_asks_then_kills_then_kills_again() -> None:
    life, effects = told(STOP, life=running())
    assert effects[1:] == (Signal(TERM, is_stop=True), Wait(1, 10.0))

    life, effects = told(GraceExpired(1), life=life)
    assert effects[1:] == (Kill(), Wait(1, KILL_AGAIN_S))
    assert told(GraceExpired(1), life=life)[1][1:] == (Kill(), Wait(1, KILL_AGAIN_S))

    life, effects = told(exited(137), Released(), life=life)
    assert life.state is ContainerState.EXITED
    assert actions(effects) == ["stop"]


def test_a_grace_below_zero_waits_for_ever_and_none_kills_at_once() -> None:
    patient = told(replace(STOP, grace_s=-1.0), life=running())[1]
    assert not any(isinstance(each, Wait) for each in patient)
    assert Kill() in told(replace(STOP, grace_s=0.0), life=running())[1]


def test_a_timer_of_an_earlier_run_kills_nobody() -> None:
    life = live(STOP, exited(), Released(), StartRequested(), STARTED, life=running())
    assert told(GraceExpired(1), life=life) == (life, ())


def test_a_paused_container_is_resumed_so_that_it_hears_the_stop() -> None:
    life, effects = told(Paused(), STOP, life=running())
    assert Resume() in effects
    assert live(exited(), Released(), life=life).state is ContainerState.EXITED


def test_what_is_asked_while_it_starts_is_done_when_it_has() -> None:
    life = live(StartRequested(), STOP)
    life, effects = told(STARTED, life=life)
    assert Signal(TERM, is_stop=True) in effects

    life = live(StartRequested(), RemoveRequested(force=True))
    assert Kill() in told(STARTED, life=life)[1]


def test_always_comes_back_and_waits_longer_each_time() -> None:
    life, delays = running(ALWAYS), list[float]()
    for run in range(1, 13):
        life, effects = told(exited(0), Released(), life=life, manner=ALWAYS)
        assert (life.state, life.restart_count) == (ContainerState.RESTARTING, run)
        (delay,) = (each for each in effects if isinstance(each, Delay))
        delays.append(delay.delay_s)
        life = live(DelayExpired(run), STARTED, life=life, manner=ALWAYS)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60.0


def test_after_a_good_run_it_waits_the_least_again() -> None:
    life = live(exited(0), Released(), DelayExpired(1), life=running(ALWAYS), manner=ALWAYS)
    life = live(replace(STARTED, started_at=20.0), life=life, manner=ALWAYS)
    life, effects = told(exited(0, at=30.0), Released(), life=life, manner=ALWAYS)
    assert effects == (Delay(2, 0.1),)


def test_on_failure_comes_back_as_often_as_it_may() -> None:
    life = running(TWICE)
    for run in (1, 2):
        life = live(exited(1), Released(), DelayExpired(run), STARTED, life=life, manner=TWICE)
    assert life.restart_count == 2
    ended = live(exited(1), Released(), life=life, manner=TWICE)
    assert ended.state is ContainerState.EXITED
    clean = live(exited(0), Released(), life=running(TWICE), manner=TWICE)
    assert clean.state is ContainerState.EXITED


@pytest.mark.parametrize("manner", [ALWAYS, UNLESS, TWICE])
@pytest.mark.parametrize("asked", [STOP, FATAL, KillRequested(signal=TERM, is_final=True)])
def test_who_is_stopped_by_hand_does_not_come_back(manner: Manner, asked: Event) -> None:
    life = live(asked, exited(137), Released(), life=running(manner), manner=manner)
    assert life.state is ContainerState.EXITED
    assert life.by_hand


def test_a_signal_that_is_no_end_changes_no_policy() -> None:
    hangup = KillRequested(signal=1, is_final=False)
    life = live(hangup, exited(1), Released(), life=running(ALWAYS), manner=ALWAYS)
    assert life.state is ContainerState.RESTARTING


def test_one_that_waits_for_its_next_start_is_stopped_at_once() -> None:
    waiting = live(exited(), Released(), life=running(ALWAYS), manner=ALWAYS)
    life, effects = told(STOP, life=waiting, manner=ALWAYS)
    assert (life.state, actions(effects)) == (ContainerState.EXITED, ["stop"])
    assert told(DelayExpired(1), life=life, manner=ALWAYS) == (life, ())


def test_a_restart_that_fails_is_tried_again_as_long_as_the_policy_says() -> None:
    """The network of a container may be there only a moment after the host is."""
    failed = StartFailed(reason="no network", exit_code=128)
    waiting = live(exited(), Released(), life=running(TWICE), manner=TWICE)
    life, effects = told(DelayExpired(1), failed, life=waiting, manner=TWICE)
    assert (life.state, effects) == (ContainerState.RESTARTING, (Delay(2, 0.2),))
    life = live(DelayExpired(2), failed, life=life, manner=TWICE)
    assert (life.state, life.error) == (ContainerState.EXITED, "no network")


def test_restarting_stops_and_starts_and_forgets_how_often_it_came_back() -> None:
    life, effects = told(RESTART, life=running(PASSING), manner=PASSING)
    assert Signal(TERM, is_stop=True) in effects
    life, effects = told(exited(0), Released(), life=life, manner=PASSING)
    assert (actions(effects), effects[-1]) == (["stop"], Start())
    life, effects = told(STARTED, life=life, manner=PASSING)
    assert actions(effects) == ["start", "restart"]
    assert (life.again, life.by_hand, life.restart_count) == (False, False, 0)


def test_restarting_what_does_not_run_starts_it() -> None:
    life, effects = told(RESTART)
    assert effects == (Start(),)
    assert actions(told(STARTED, life=life)[1]) == ["start", "restart"]


def test_a_running_container_is_removed_by_force_only() -> None:
    with pytest.raises(Refused, match="container is running: stop the container"):
        told(RemoveRequested(), life=running())
    with pytest.raises(Refused, match="container is paused and must be unpaused first"):
        told(RemoveRequested(), life=live(Paused(), life=running()))
    life, effects = told(RemoveRequested(force=True, volumes=True), life=running())
    assert Kill() in effects
    assert told(exited(137), Released(), life=life)[1] == (Remove(volumes=True),)


def test_a_removal_that_fails_can_be_tried_again_and_nothing_else() -> None:
    life = live(RemoveRequested(), RemoveFailed(reason="busy"))
    assert life.state is ContainerState.DEAD
    with pytest.raises(Refused, match="marked for removal"):
        told(StartRequested(), life=life)
    assert told(RemoveRequested(), life=life)[1] == (Remove(volumes=False),)


def test_removing_twice_is_refused_while_it_goes_on() -> None:
    with pytest.raises(Refused, match="already in progress"):
        told(RemoveRequested(), life=live(RemoveRequested()))


def test_an_out_of_memory_death_is_announced() -> None:
    life, effects = told(exited(137, oom_killed=True), life=running())
    assert actions(effects) == ["oom", "die"]
    assert life.oom_killed


# --- what an agent finds at its start ------------------------------------------------------------


def test_an_adopted_container_goes_on_as_it_was() -> None:
    life = replace(running(), health=HealthState.HEALTHY, restart_count=3)
    found, effects = told(Adopted(pid=7, started_at=10.0, is_checked=True), life=resting(life))
    assert (found, effects) == (resting(life), ())


def test_a_run_that_nobody_wrote_down_counts() -> None:
    """The agent died between the start and the record of it."""
    found = live(Adopted(pid=9, started_at=15.0), life=resting(live(StartRequested())))
    assert (found.state, found.pid) == (ContainerState.RUNNING, 9)


def test_one_that_was_lost_with_its_host_comes_back_by_its_policy() -> None:
    life = live(Vanished(), Released(), life=resting(running(ALWAYS)), manner=ALWAYS)
    assert (life.state, life.exit_code) == (ContainerState.RESTARTING, 255)
    life = live(Vanished(), Released(), life=resting(running()))
    assert (life.state, life.exit_code) == (ContainerState.EXITED, 255)


def test_a_removal_goes_on_after_the_agent_died_in_it() -> None:
    life = resting(live(RemoveRequested(volumes=True)))
    assert told(Vanished(), life=life)[1] == (Remove(volumes=True),)
    asked = resting(live(RemoveRequested(force=True), life=running()))
    assert Kill() in told(Adopted(pid=7, started_at=10.0), life=asked)[1]


def test_a_restart_goes_on_after_the_agent_died_in_it() -> None:
    stopping = resting(live(RESTART, life=running()))
    life = live(exited(0), Released(), life=stopping)
    assert life.work is Work.START
    assert told(Vanished(), life=resting(life))[1] == (Start(),)


@pytest.mark.parametrize(
    ("manner", "by_hand", "comes"),
    [(ALWAYS, True, True), (ALWAYS, False, True), (UNLESS, True, False), (UNLESS, False, True),
     (TWICE, False, False), (ONCE, False, False)],
)  # fmt: skip
def test_with_the_host_come_up_those_that_always_run(
    manner: Manner, by_hand: bool, comes: bool
) -> None:
    ended = Life(state=ContainerState.EXITED, run=1, started_at=5.0, by_hand=by_hand)
    life, effects = told(Booted(), life=ended, manner=manner)
    assert effects == ((Start(),) if comes else ())
    assert not (comes and life.by_hand)


def test_one_that_cannot_start_yet_when_the_host_comes_up_is_tried_again() -> None:
    ended = Life(state=ContainerState.EXITED, run=1, started_at=5.0, by_hand=True)
    failed = StartFailed(reason="no network", exit_code=128)
    life, effects = told(Booted(), failed, life=ended, manner=ALWAYS)
    assert (life.state, effects) == (ContainerState.RESTARTING, (Delay(2, 0.1),))


def test_one_that_never_ran_does_not_come_up_with_the_host() -> None:
    assert told(Booted(), manner=ALWAYS)[1] == ()


# --- any order of events -------------------------------------------------------------------------

ANY = st.one_of(
    st.sampled_from(
        [
            StartRequested(),
            STOP,
            replace(STOP, grace_s=0.0),
            RESTART,
            FATAL,
            KillRequested(signal=1, is_final=False),
            RemoveRequested(),
            RemoveRequested(force=True, volumes=True),
            STARTED,
            StartFailed(reason="no", exit_code=127),
            exited(0),
            exited(1),
            Examined(health=HealthState.UNHEALTHY, failing_streak=3),
            Paused(),
            Resumed(),
            Released(),
            Removed(),
            RemoveFailed(reason="busy"),
        ]
    ),
    st.builds(GraceExpired, st.integers(0, 4)),
    st.builds(DelayExpired, st.integers(0, 4)),
)
MANNERS = st.sampled_from([ONCE, ALWAYS, UNLESS, TWICE, PASSING])


def survive(life: Life, event: Event, manner: Manner) -> tuple[Life, tuple[Effect, ...]]:
    try:
        found, effects = step(life, event, manner, at=20.0)
    except Refused:
        return life, ()
    found.check()
    resting(found).check_at_rest()
    return found, effects


@given(st.lists(ANY, max_size=30), MANNERS)
def test_law_a_run_begins_only_where_nothing_runs(events: list[Event], manner: Manner) -> None:
    life = Life()
    for event in events:
        before = life
        life, effects = survive(life, event, manner)
        if Start() in effects:
            assert life.run == before.run + 1
            assert before.work in (Work.NONE, Work.RELEASE)
            assert not before.is_up
            assert not life.pid


@given(st.lists(ANY, max_size=30), MANNERS)
def test_law_work_is_called_for_when_it_is_waited_for(events: list[Event], manner: Manner) -> None:
    """Otherwise a container would hang in a passing state."""
    life = Life()
    for event in events:
        before = life
        life, effects = survive(life, event, manner)
        if life.work is not before.work or life.run != before.run:
            called = {Work.START: Start(), Work.RELEASE: Release()}.get(life.work)
            assert called is None or called in effects
            removes = any(isinstance(each, Remove) for each in effects)
            assert removes == (life.work is Work.REMOVE)


class Host:
    """Does what is called for, in an order of somebody's choice; a killed process ends."""

    def __init__(self, life: Life, manner: Manner, can_start: bool) -> None:
        self.life, self.manner, self.can_start = life, manner, can_start
        self.is_forgotten, self.pending = False, list[Event]()

    def tell(self, event: Event) -> None:
        self.life, effects = survive(self.life, event, self.manner)
        for effect in effects:
            match effect:
                case Start() if self.can_start:
                    self.pending.append(replace(STARTED, started_at=20.0))
                case Start():
                    self.pending.append(StartFailed(reason="no", exit_code=127))
                case Release():
                    self.pending.append(Released())
                case Remove():
                    self.pending.append(Removed())
                case Kill():
                    self.pending.append(exited(137, at=21.0))
                case Wait(run=run):
                    self.pending.append(GraceExpired(run))
                case Delay(run=run):
                    self.pending.append(DelayExpired(run))
                case Forget():
                    self.is_forgotten = True
                case _:
                    pass

    def rest(self, choose: st.DataObject) -> None:
        for _ in range(60):
            if not self.pending or self.is_forgotten:
                return
            place = choose.draw(st.integers(0, len(self.pending) - 1))
            self.tell(self.pending.pop(place))


def begun(events: list[Event], manner: Manner, can_start: bool) -> Host:
    """A container about which these events were told, as far as they can be."""
    host = Host(Life(), manner, can_start)
    for event in events:
        match event:
            case Started() | StartFailed() | Released() | Removed() | RemoveFailed():
                if host.pending:
                    host.tell(host.pending.pop(0))
            case Exited() if not host.life.pid:
                continue
            case _:
                host.tell(event)
        if host.is_forgotten:
            break
    return host


@settings(max_examples=200)
@given(st.lists(ANY, max_size=12), MANNERS, st.booleans(), st.data())
def test_law_whoever_is_removed_by_force_is_forgotten_in_the_end(
    events: list[Event], manner: Manner, can_start: bool, choose: st.DataObject
) -> None:
    host = begun(events, manner, can_start)
    if host.is_forgotten:
        return
    host.tell(RemoveRequested(force=True))
    host.rest(choose)
    assert host.is_forgotten, host.life


@settings(max_examples=200)
@given(st.lists(ANY, max_size=12), MANNERS, st.booleans(), st.data())
def test_law_whoever_is_stopped_rests_whatever_its_policy(
    events: list[Event], manner: Manner, can_start: bool, choose: st.DataObject
) -> None:
    host = begun(events, manner, can_start)
    if host.is_forgotten:
        return
    host.tell(STOP)
    host.rest(choose)
    assert host.is_forgotten or not host.life.is_active, host.life


@settings(max_examples=200)
@given(st.lists(ANY, max_size=12), MANNERS, st.booleans(), st.data())
def test_law_an_agent_that_was_killed_anywhere_goes_on(
    events: list[Event], manner: Manner, can_start: bool, choose: st.DataObject
) -> None:
    """Whatever was begun, nothing hangs, and what was to go is gone."""
    host = begun(events, manner, can_start)
    if host.is_forgotten:
        return
    was = resting(host.life)
    after = Host(was, manner, can_start)
    trace = (
        Adopted(pid=was.pid, started_at=was.started_at)
        if was.pid and choose.draw(st.booleans())
        else Vanished()
    )
    after.tell(trace)
    for _ in range(40):
        if after.life.work is Work.NONE or after.is_forgotten or not after.pending:
            break
        after.tell(after.pending.pop(0))
    assert after.is_forgotten or after.life.work is Work.NONE, after.life
    if was.removal is not None:
        assert after.is_forgotten or after.life.removal is not None


def test_a_wish_to_be_removed_outlives_the_agent() -> None:
    assert resting(live(RemoveRequested(force=True), life=running())).removal == Removal(False)
