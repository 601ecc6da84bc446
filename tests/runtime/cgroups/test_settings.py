from runtime.cgroups import cpu, cpuset, freezer, memory, pids
from runtime.cgroups.setting import Setting
from runtime.oci.config import Cpu, Memory, Pids, Resources

MIB = 1024 * 1024


def test_no_limit_writes_nothing() -> None:
    free = Resources()

    for controller in (cpu, cpuset, memory, pids):
        assert controller.v1(free) == controller.v2(free) == ()


def test_cpu_is_a_quota_of_each_tenth_of_a_second() -> None:
    resources = Resources(cpu=Cpu(quota=25_000))

    assert cpu.v1(resources) == (
        Setting("cpu.cfs_period_us", ("100000",)),
        Setting("cpu.cfs_quota_us", ("25000",)),
    )
    assert cpu.v2(resources) == (Setting("cpu.max", ("25000 100000",)),)


def test_memory_alone_allows_no_swap() -> None:
    resources = Resources(memory=Memory(limit=64 * MIB))

    assert [setting.values[0] for setting in memory.v1(resources)] == [str(64 * MIB)] * 2
    assert memory.v2(resources)[1] == Setting("memory.swap.max", ("0",), optional=True)


def test_swap_is_counted_with_memory_in_v1_and_alone_in_v2() -> None:
    resources = Resources(memory=Memory(limit=64 * MIB, swap=96 * MIB))
    unlimited = Resources(memory=Memory(limit=64 * MIB, swap=-1))

    assert memory.v1(resources)[1].values == (str(96 * MIB),)
    assert memory.v2(resources)[1].values == (str(32 * MIB),)
    assert memory.v1(unlimited)[1].values == ("-1",)
    assert memory.v2(unlimited)[1].values == ("max",)


def test_kills_for_memory_are_read_in_both_formats() -> None:
    assert memory.oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n") == 2
    assert memory.oom_kills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n") == 1
    assert memory.oom_kills("") == 0


def test_pids_and_freezing() -> None:
    assert pids.v1(Resources(pids=Pids(limit=9))) == (Setting("pids.max", ("9",)),)
    assert freezer.v1(frozen=True) == Setting("freezer.state", ("FROZEN",))
    assert freezer.v2(frozen=False) == Setting("cgroup.freeze", ("0",))
