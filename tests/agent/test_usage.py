import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.usage import Reading, use
from runtime.cgroups.stats import (
    CpuUsage,
    IoUsage,
    MemoryUsage,
    NetworkUsage,
    PidsUsage,
    Stats,
)
from swarm.ids import TaskId

SECOND_NS = 10**9


def reading(at: float, cpu_s: float = 0.0, **fields: object) -> Reading:
    stats = Stats(cpu=CpuUsage(usage_ns=round(cpu_s * SECOND_NS)), **fields)  # type: ignore[arg-type]
    return Reading(task_id=TaskId("t"), at=at, stats=stats)


def test_two_cores_busy_for_a_second_are_two_hundred_percent() -> None:
    assert use(reading(10.0, 5.0), reading(11.0, 7.0)).cpu_percent == 200.0
    assert use(reading(10.0, 5.0), reading(12.0, 5.5)).cpu_percent == 25.0


def test_without_a_first_reading_nothing_is_said_of_the_cpu() -> None:
    assert use(None, reading(1.0, 9.0)).cpu_percent == 0.0


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e6), st.floats(0, 1e6))
def test_law_a_share_is_never_negative_and_never_infinite(
    before: float, after: float, used: float, then: float
) -> None:
    """A container that was started anew has counted less; a clock may stand still."""
    share = use(reading(before, used), reading(after, then)).cpu_percent

    assert 0.0 <= share < float("inf")


def test_the_rest_is_what_was_read_last() -> None:
    after = Reading(
        task_id=TaskId("t"),
        at=1.0,
        stats=Stats(
            memory=MemoryUsage(usage_bytes=99, working_set_bytes=50, limit_bytes=100),
            io=IoUsage(read_bytes=1, write_bytes=2),
            pids=PidsUsage(current=3),
        ),
        networks=(
            NetworkUsage(name="eth0", rx_bytes=10, tx_bytes=20),
            NetworkUsage(name="eth1", rx_bytes=1, tx_bytes=2),
        ),
    )

    found = use(None, after)

    assert (found.memory_bytes, found.memory_limit_bytes) == (50, 100)
    assert (found.received_bytes, found.sent_bytes) == (11, 22)
    assert (found.read_bytes, found.written_bytes, found.pids) == (1, 2, 3)
    assert found.cpu_percent == pytest.approx(0.0)
