from hypothesis import given
from hypothesis import strategies as st

from runtime.cgroups import cpu
from runtime.oci.config import Cpu, Resources
from tests.runtime.cgroups.asking import asked


def test_nothing_asked_writes_nothing() -> None:
    for resources in (Resources(), Resources(cpu=Cpu(shares=0, quota=0, period=0))):
        assert asked(cpu.v1, resources) == asked(cpu.v2, resources) == {}


def test_a_quota_is_two_files_in_v1_and_one_in_v2() -> None:
    resources = Resources(cpu=Cpu(quota=25_000, period=50_000))

    assert asked(cpu.v1, resources) == {"cpu.cfs_period_us": "50000", "cpu.cfs_quota_us": "25000"}
    assert asked(cpu.v2, resources) == {"cpu.max": "25000 50000"}


def test_a_quota_can_be_lifted_and_have_the_usual_period() -> None:
    lifted, usual = Resources(cpu=Cpu(quota=-1)), Resources(cpu=Cpu(quota=5000))

    assert asked(cpu.v1, lifted) == {"cpu.cfs_quota_us": "-1"}
    assert asked(cpu.v2, lifted) == {"cpu.max": "max 100000"}
    assert asked(cpu.v2, usual) == {"cpu.max": "5000 100000"}


def test_shares_become_weights() -> None:
    resources = Resources(cpu=Cpu(shares=512))

    assert asked(cpu.v1, resources) == {"cpu.shares": "512"}
    assert asked(cpu.v2, resources) == {"cpu.weight": "59"}
    assert [cpu.weight(shares) for shares in (2, 1024, 262_144)] == [1, 100, 10_000]


def test_an_idle_group_has_no_weight() -> None:
    """The kernel refuses a weight there."""
    resources = Resources(cpu=Cpu(shares=512, idle=1))

    assert asked(cpu.v1, resources) == asked(cpu.v2, resources) == {"cpu.idle": "1"}


def test_burst_comes_before_the_quota_that_it_is_judged_by() -> None:
    resources = Resources(cpu=Cpu(quota=20_000, period=40_000, burst=10_000))

    assert list(asked(cpu.v1, resources)) == [
        "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.cfs_quota_us",
    ]  # fmt: skip
    assert list(asked(cpu.v2, resources)) == ["cpu.max.burst", "cpu.max"]


def test_realtime_is_v1s_alone() -> None:
    resources = Resources(cpu=Cpu(realtime_runtime=900, realtime_period=1000))

    assert asked(cpu.v1, resources) == {"cpu.rt_period_us": "1000", "cpu.rt_runtime_us": "900"}
    assert asked(cpu.v2, resources) == {"cpu.realtimeRuntime": "cgroup v2 shares out no realtime"}


@given(st.integers(2, 262_143))
def test_law_more_shares_never_weigh_less(shares: int) -> None:
    assert 1 <= cpu.weight(shares) <= cpu.weight(shares + 1) <= 10_000
