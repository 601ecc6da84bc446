from hypothesis import given
from hypothesis import strategies as st

from swarmd.supervision import LONGEST_DELAY_S, STEADY_AFTER_S, Supervision


def test_a_wanted_part_is_due_at_once() -> None:
    supervision = Supervision()

    supervision.want("etcd", now=10.0)

    assert supervision.due(now=10.0) == ("etcd",)


def test_parts_start_in_the_order_in_which_they_were_wanted() -> None:
    supervision = Supervision()

    for name in ("launcher", "etcd", "manager", "agent"):
        supervision.want(name, now=0.0)

    assert supervision.due(now=0.0) == ("launcher", "etcd", "manager", "agent")


def test_a_part_that_had_lived_starts_again_without_delay() -> None:
    supervision = Supervision()
    supervision.want("agent", now=0.0)
    supervision.started("agent", 7, now=0.0)

    supervision.exited("agent", now=STEADY_AFTER_S)

    assert supervision.due(now=STEADY_AFTER_S) == ("agent",)


def test_a_part_that_keeps_falling_over_waits_longer_each_time() -> None:
    supervision = Supervision()
    supervision.want("manager", now=0.0)
    now, waits = 0.0, list[float]()

    for _ in range(9):
        supervision.started("manager", 7, now=now)
        supervision.exited("manager", now=now)
        due = supervision.next_deadline()
        assert due is not None
        waits.append(due - now)
        now = due

    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_DELAY_S


def test_a_part_that_is_no_longer_wanted_stays_down() -> None:
    supervision = Supervision()
    supervision.want("agent", now=0.0)
    supervision.started("agent", 7, now=0.0)
    supervision.forget("agent")

    supervision.exited("agent", now=1.0)

    assert supervision.due(now=100.0) == ()
    assert supervision.next_deadline() is None


@given(st.lists(st.tuples(st.sampled_from(["start", "exit"]), st.floats(0, 20)), max_size=30))
def test_law_a_part_runs_or_waits_but_never_both(events: list[tuple[str, float]]) -> None:
    supervision = Supervision()
    supervision.want("part", now=0.0)
    now = 0.0

    for kind, delay in events:
        now += delay
        if kind == "start" and "part" in supervision.due(now=now):
            supervision.started("part", 1, now=now)
        elif kind == "exit" and supervision.lives["part"].pid:
            supervision.exited("part", now=now)
        supervision.check()

    life = supervision.lives["part"]
    assert bool(life.pid) != (life.due_at is not None)
