from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from manager.autoscaling import CANNOT, History, Load, Measured, Scaling, desired, remembered
from swarm.ids import ServiceId
from swarm.objects import Ledger
from swarm.specs import Autoscale, Limits, Resources, TaskSpec

POLICY = Autoscale(least=2, most=20, cpu_percent=50, down_window_s=0)
TASK = TaskSpec(reservations=Resources(cpu_millis=1000))
MEBI = 1 << 20


def cpu(*percents: float | None) -> Measured:
    """Tasks that use so much of a core; `None` is one that nothing is known of."""
    return Measured(loads=tuple(Load(cpu_percent=each) for each in percents))


def decide(
    measured: Measured,
    replicas: int,
    policy: Autoscale = POLICY,
    task: TaskSpec = TASK,
    *,
    now: float = 1000.0,
    history: History = (),
) -> Scaling:
    return desired(policy, task, measured, replicas=replicas, now=now, history=history)


def test_use_above_the_target_calls_for_so_many_more() -> None:
    found = decide(cpu(90, 110), 2)

    assert found.replicas == 4
    assert found.message == "cpu at 100% (target 50%): 2 to 4"


def test_use_below_the_target_calls_for_so_many_less() -> None:
    assert decide(cpu(20, 20, 20, 20), 4).replicas == 2


def test_a_tenth_of_the_target_is_near_enough() -> None:
    assert decide(cpu(55, 55, 55), 3).replicas == 3
    assert decide(cpu(45, 45, 45), 3).replicas == 3
    assert decide(cpu(56, 56, 56), 3).replicas == 4


def test_the_share_is_of_the_reservation_else_of_the_limit_else_of_one_core() -> None:
    half = TaskSpec(limits=Limits(cpu_millis=500))
    both = TaskSpec(reservations=Resources(cpu_millis=250), limits=Limits(cpu_millis=500))

    assert decide(cpu(50, 50), 2, task=TaskSpec()).replicas == 2
    assert decide(cpu(50, 50), 2, task=half).replicas == 4
    assert decide(cpu(50, 50), 2, task=both).replicas == 8


def test_a_silent_task_counts_as_idle_when_the_others_call_for_more() -> None:
    assert decide(cpu(100, 100, None, None), 4).replicas == 4
    assert decide(cpu(200, 200, None, None), 4).replicas == 8


def test_a_silent_task_counts_as_busy_when_the_others_call_for_less() -> None:
    assert decide(cpu(10, 10, 10, None), 4).replicas == 3
    assert decide(cpu(10, None, None, None), 4).replicas == 4


def test_a_task_that_is_not_up_yet_says_nothing() -> None:
    """What a program does while it starts tells nothing of the load; see HPA's unready pods."""
    starting = Load(cpu_percent=400, is_up=False)

    found = decide(Measured(loads=(Load(cpu_percent=50), starting)), 2)

    assert found.replicas == 2


def test_replicas_that_have_no_task_yet_are_not_asked_for_twice() -> None:
    assert decide(cpu(100, 100), 4).replicas == 4


def test_memory_is_a_share_of_what_is_reserved_or_the_limit() -> None:
    policy = Autoscale(least=1, most=9, memory_percent=50)
    loads = Measured(loads=(Load(memory_bytes=90 * MEBI),))

    limited = decide(loads, 1, policy, TaskSpec(limits=Limits(memory_bytes=100 * MEBI)))
    unlimited = decide(loads, 1, policy, TaskSpec())

    assert limited.replicas == 2
    assert unlimited.replicas == 1
    assert unlimited.message.startswith(CANNOT)


def test_a_query_is_divided_by_the_target_for_each_replica() -> None:
    policy = Autoscale(least=1, most=9, query="q", target=100, down_window_s=0)

    assert decide(Measured(answer=450.0), 2, policy).replicas == 5
    assert decide(Measured(answer=105.0), 1, policy).replicas == 1
    assert decide(Measured(answer=0.0), 4, policy).replicas == 1


def test_the_largest_proposal_wins() -> None:
    policy = Autoscale(least=1, most=99, cpu_percent=50, query="q", target=10)
    loads = (Load(cpu_percent=100), Load(cpu_percent=100))

    assert decide(Measured(loads=loads, answer=300.0), 2, policy).replicas == 30
    assert decide(Measured(loads=loads, answer=1.0), 2, policy).replicas == 4


def test_what_cannot_be_read_forbids_shrinking_but_not_growing() -> None:
    policy = Autoscale(least=1, most=99, cpu_percent=50, query="q", target=10, down_window_s=0)
    busy, idle = (Load(cpu_percent=100),) * 4, (Load(cpu_percent=1),) * 4

    grown = decide(Measured(loads=busy, problem="no route"), 4, policy)
    kept = decide(Measured(loads=idle, problem="no route"), 4, policy)

    assert grown.replicas == 8
    assert kept.replicas == 4
    assert kept.message == "cannot scale: no route"


def test_the_bounds_are_kept_and_named() -> None:
    above, below = decide(cpu(*[500] * 10), 10), decide(cpu(0, 0, 0, 0), 4)

    assert (above.replicas, below.replicas) == (20, 2)
    assert above.message.endswith("10 to 20, at most 20")
    assert below.message.endswith("4 to 2, at least 2")


def test_shrinking_waits_until_nothing_else_was_called_for_in_its_window() -> None:
    policy = Autoscale(least=1, most=20, cpu_percent=50, down_window_s=60)
    history: History = ()
    counts: list[int] = []
    for now in range(0, 100, 10):
        load = 50.0 if now == 20 else 5.0
        found = decide(cpu(*[load] * 10), 10, policy, now=float(now), history=history)
        history = found.history
        counts.append(found.replicas)

    assert counts == [10] * 8 + [1, 1]


def test_growing_waits_as_well_when_it_is_told_to() -> None:
    policy = Autoscale(least=1, most=20, cpu_percent=50, up_window_s=30)
    history: History = ()
    counts: list[int] = []
    for now in range(0, 50, 10):
        found = decide(cpu(100, 100), 2, policy, now=float(now), history=history)
        history = found.history
        counts.append(found.replicas)

    assert counts == [2, 2, 2, 4, 4]


def test_a_new_leader_shrinks_nothing_before_it_watched_for_a_window() -> None:
    policy = Autoscale(least=1, most=20, cpu_percent=50, down_window_s=300)

    assert decide(cpu(1, 1, 1, 1), 4, policy, history=()).replicas == 4


def test_only_changes_are_written_down() -> None:
    ledger = Ledger(service_id=ServiceId("s"), replicas=4, scale_message="old")
    same = Scaling(replicas=4, message="cpu at 51%: stays at 4", history=())
    blind = Scaling(replicas=4, message=f"{CANNOT}no route", history=())
    grown = Scaling(replicas=5, message="cpu at 90%: 4 to 5", history=())

    assert remembered(ledger, same, now=9.0) is None
    told = remembered(ledger, blind, now=9.0)
    assert told is not None
    assert (told.replicas, told.scaled_at, told.scale_message) == (4, 0.0, f"{CANNOT}no route")
    assert remembered(told, blind, now=10.0) is None
    seen_again = remembered(told, same, now=11.0)
    assert seen_again is not None
    assert seen_again.scale_message == same.message
    written = remembered(ledger, grown, now=9.0)
    assert written is not None
    assert (written.replicas, written.scaled_at) == (5, 9.0)


loads = st.lists(st.none() | st.floats(0, 400), max_size=12)
policies = st.builds(
    lambda least, more, cpu_percent, up, down: Autoscale(
        least=least, most=least + more, cpu_percent=cpu_percent, up_window_s=up, down_window_s=down
    ),
    least=st.integers(1, 5),
    more=st.integers(0, 20),
    cpu_percent=st.floats(5, 100),
    up=st.sampled_from([0.0, 15.0, 60.0]),
    down=st.sampled_from([0.0, 30.0, 300.0]),
)


@given(policies, st.lists(loads, max_size=20), st.integers(0, 40))
def test_law_the_count_stays_between_its_bounds(
    policy: Autoscale, ticks: list[list[float | None]], replicas: int
) -> None:
    history: History = ()
    for number, tick in enumerate(ticks):
        found = decide(cpu(*tick), replicas, policy, now=5.0 * number, history=history)
        assert policy.least <= found.replicas <= policy.most
        replicas, history = found.replicas, found.history


@given(policies, st.lists(st.floats(0, 2000), min_size=1, max_size=40))
def test_law_within_its_window_nothing_shrinks_below_what_was_called_for(
    policy: Autoscale, works: list[float]
) -> None:
    """Load goes up and down as it likes: the count follows upwards, and never flaps down."""
    history: History = ()
    replicas, asked, had = policy.least, list[tuple[float, int]](), policy.least
    for number, work in enumerate(works):
        now = 5.0 * number
        found = decide(cpu(*[work / replicas] * replicas), replicas, policy, now=now,
                       history=history)  # fmt: skip
        asked.append(found.history[-1])
        recent = [count for at, count in asked if at > now - policy.down_window_s]
        assert found.replicas >= min(had, max(recent, default=0))
        had = replicas = found.replicas
        history = found.history


@given(st.floats(1, 1900), st.integers(1, 40))
def test_law_steady_work_leads_to_a_steady_count(work: float, replicas: int) -> None:
    """`work` is in percent of a core, shared evenly: after a few steps the count stays."""
    policy = Autoscale(least=1, most=100, cpu_percent=50, down_window_s=0)
    counts: list[int] = []
    for _ in range(12):
        replicas = decide(cpu(*[work / replicas] * replicas), replicas, policy).replicas
        counts.append(replicas)

    assert len(set(counts[-4:])) == 1
    exact = ceil(work / 50)
    assert 0.9 * (exact - 1) <= counts[-1] <= exact / 0.9 + 1
