"""The health machine, told what time it is."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import health as machine
from runtime.health import Answered, Ask, Event, Interrupt, Tell, Woke
from runtime.outcome import HealthRecord, HealthResult, HealthStatus, KeptResult
from runtime.spec import Health

STARTING, HEALTHY, UNHEALTHY = HealthStatus.STARTING, HealthStatus.HEALTHY, HealthStatus.UNHEALTHY


def make_health(**fields: float) -> Health:
    return Health(args=("/check",), **fields)  # type: ignore[arg-type]


class Story:
    """A container that was started at time 0, and what its machine asked for."""

    __test__ = False

    def __init__(self, **fields: float) -> None:
        self.health = make_health(**fields)
        self.now = 0.0
        self.vitals = machine.begin(self.health, 0.0)

    def tell(self, event: Event) -> tuple[machine.Effect, ...]:
        self.vitals, effects = machine.step(self.vitals, event, self.health, self.now)
        machine.check(self.vitals, self.health)
        return effects

    def sleep(self, *, is_paused: bool = False) -> tuple[machine.Effect, ...]:
        """Wake up when it is time."""
        deadline = machine.next_deadline(self.vitals)
        assert deadline is not None
        self.now = deadline
        return self.tell(Woke(is_paused=is_paused))

    def check(self, code: int, *, takes_s: float = 0.0) -> HealthStatus:
        """Let the next check run to its end."""
        assert self.sleep() == (Ask(),)
        self.now += takes_s
        self.tell(Answered(code))
        return self.vitals.status


def test_the_first_check_comes_after_one_interval() -> None:
    story = Story(interval_s=30.0)

    assert story.vitals.status is STARTING
    assert machine.next_deadline(story.vitals) == 30.0


def test_nothing_happens_before_it_is_time() -> None:
    story = Story(interval_s=30.0)
    story.now = 29.9

    assert story.tell(Woke()) == ()


def test_one_success_makes_it_healthy() -> None:
    story = Story()

    assert story.check(0) is HEALTHY


def test_only_failures_in_a_row_make_it_unhealthy() -> None:
    story = Story(retries=3)

    assert [story.check(code) for code in (1, 1, 0, 1, 1, 1, 0)] == [
        STARTING, STARTING, HEALTHY, HEALTHY, HEALTHY, UNHEALTHY, HEALTHY,
    ]  # fmt: skip


def test_the_interval_is_counted_from_the_end_of_a_check() -> None:
    story = Story(interval_s=30.0)
    story.check(0, takes_s=7.0)

    assert machine.next_deadline(story.vitals) == 67.0


def test_failures_in_the_start_period_do_not_count() -> None:
    """A slow starter: start period 20 s, checks every 5 s in it, one retry.

    1. Checks at 5, 10 and 15 s fail, and nothing comes of it.
    2. The check that begins at 20 s is no longer in the period, and decides.
    """
    story = Story(start_period_s=20.0, start_interval_s=5.0, interval_s=30.0, retries=1)

    assert [story.check(1) for _ in range(3)] == [STARTING] * 3
    assert story.vitals.failing_streak == 0
    assert story.now == 15.0
    assert story.check(1) is UNHEALTHY
    assert story.now == 20.0
    assert machine.next_deadline(story.vitals) == 50.0


def test_a_success_ends_the_start_period() -> None:
    story = Story(start_period_s=100.0, start_interval_s=1.0, interval_s=10.0, retries=1)

    assert story.check(0) is HEALTHY
    assert machine.next_deadline(story.vitals) == 11.0
    assert story.check(1) is UNHEALTHY


def test_a_check_that_began_in_the_start_period_and_ends_after_it_does_not_count() -> None:
    story = Story(start_period_s=10.0, start_interval_s=9.0, timeout_s=20.0, retries=1)

    assert story.check(1, takes_s=15.0) is STARTING


def test_a_check_that_takes_too_long_is_killed_and_has_failed() -> None:
    story = Story(timeout_s=5.0, retries=1, interval_s=30.0)
    story.sleep()

    assert story.sleep() == (Interrupt(),)
    assert story.now == 35.0
    assert machine.next_deadline(story.vitals) is None
    assert story.tell(Woke()) == ()
    story.now = 36.0
    before = story.vitals
    assert story.tell(Answered(0)) == (Tell(),)  # whatever it said in its last moment
    assert story.vitals.status is UNHEALTHY
    kept = machine.result(
        before, story.health, started_at=1.0, finished_at=2.0, exit_code=137, output="well\n"
    )
    assert (kept.exit_code, kept.output) == (
        -1, "health check exceeded its timeout of 5 s: well\n",
    )  # fmt: skip


def test_news_is_told_once() -> None:
    story = Story(retries=2)
    told: list[bool] = []
    for code in (0, 0, 1, 1, 1):
        story.sleep()
        told.append(story.tell(Answered(code)) == (Tell(),))

    assert told == [True, False, True, True, True]  # the streak is news, too


def test_a_paused_container_is_not_asked() -> None:
    story = Story(interval_s=10.0)

    assert story.sleep(is_paused=True) == ()
    assert machine.next_deadline(story.vitals) == 20.0
    assert story.check(0) is HEALTHY


def test_a_check_that_was_caught_by_a_pause_says_nothing() -> None:
    story = Story(interval_s=10.0, timeout_s=5.0, retries=1)
    story.sleep()

    assert story.sleep(is_paused=True) == (Interrupt(),)
    assert story.tell(Answered(137)) == ()
    assert story.vitals.status is STARTING


def test_a_record_is_what_its_newest_result_says_whichever_is_found_first() -> None:
    def kept(number: int, status: HealthStatus, streak: int) -> KeptResult:
        result = HealthResult(started_at=1.0, finished_at=2.0, exit_code=streak, output=f"{number}")
        return KeptResult(number, status, streak, result)

    record = machine.recorded([kept(11, UNHEALTHY, 2), kept(9, HEALTHY, 0), kept(10, HEALTHY, 1)])

    assert [each.output for each in record.results] == ["9", "10", "11"]
    assert (record.status, record.failing_streak) == (UNHEALTHY, 2)
    assert machine.recorded([]) == HealthRecord(status=STARTING)


SPECS = st.builds(
    make_health,
    interval_s=st.sampled_from([0.5, 1.0, 30.0]),
    timeout_s=st.sampled_from([0.5, 3.0, 100.0]),
    retries=st.integers(1, 4),
    start_period_s=st.sampled_from([0.0, 2.0, 60.0]),
    start_interval_s=st.sampled_from([0.1, 5.0]),
)


@settings(deadline=None)  # a busy machine is no counterexample
@given(SPECS, st.randoms(use_true_random=False))
def test_law_checks_never_overlap_and_the_last_failures_decide(
    health: Health, random: Random
) -> None:
    """Simulate some hours: checks of any length and outcome, pauses, late wake-ups."""
    now, vitals = 0.0, machine.begin(health, 0.0)
    running_since: float | None = None
    interrupted = False
    counted: list[bool] = []
    ended_at = 0.0
    for _ in range(60):
        deadline = machine.next_deadline(vitals)
        dies = running_since is not None and (interrupted or random.random() < 0.5)
        event: Event
        if dies:
            top = now + 5.0 if deadline is None else deadline
            now += (top - now) * random.random()
            event = Answered(random.choice((0, 0, 1, 137)))
            assert running_since is not None
            in_time = running_since < health.start_period_s and vitals.status is STARTING
            success = event.exit_code == 0 and not vitals.is_overdue
            if not vitals.is_void and (success or not in_time):
                counted.append(success)
        else:
            assert deadline is not None
            now = deadline + random.choice((0.0, 0.0, 1.0))
            event = Woke(is_paused=random.random() < 0.1)
        vitals, effects = machine.step(vitals, event, health, now)
        machine.check(vitals, health)
        for effect in effects:
            match effect:
                case Ask():
                    assert running_since is None
                    assert now - ended_at > min(health.interval_s, health.start_interval_s) - 1e-6
                    running_since, interrupted = now, False
                case Interrupt():
                    assert running_since is not None
                    assert now - running_since > health.timeout_s - 1e-6
                    interrupted = True
                case Tell():
                    pass
        if isinstance(event, Answered):
            running_since, interrupted, ended_at = None, False, now
        assert vitals.status is _expected(counted, health.retries)
        assert vitals.failing_streak == _streak(counted)


def _streak(counted: list[bool]) -> int:
    return next((n for n, success in enumerate(reversed(counted)) if success), len(counted))


def _expected(counted: list[bool], retries: int) -> HealthStatus:
    if _streak(counted) >= retries:
        return UNHEALTHY
    return HEALTHY if any(counted) else STARTING
