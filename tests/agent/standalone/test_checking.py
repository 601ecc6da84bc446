import pytest
from msgspec.structs import replace

from agent.standalone.checking import check, check_available, check_limits, check_restart
from swarm.errors import Invalid
from swarm.specs import ContainerSpec, Limits, LogDriver
from swarm.standalone import ContainerRestart, Restarting, Shares, StandaloneSpec

GOOD = StandaloneSpec(
    container=ContainerSpec(
        image="i", env=("A=1", "A=2", "GONE"), hosts=("up:host-gateway",),
        cap_add=("net_admin", "CAP_BPF"), cap_drop=("all",),
    ),
    limits=Limits(memory_bytes=64 << 20, cpu_millis=1), shares=Shares(cpuset_cpus="0-1,3"),
    pid_mode="host", ipc_mode="container:x", device_cgroup_rules=("c 1:* rwm",),
)  # fmt: skip


def test_what_docker_takes_is_taken() -> None:
    check(GOOD)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"container": ContainerSpec(image="i", env=("=x",))}, "invalid environment variable"),
        ({"container": ContainerSpec(image="i", user="a b")}, "container.user"),
        ({"container": ContainerSpec()}, "container.image"),
        ({"container": ContainerSpec(image="i", cap_add=("fly",))}, "no capability 'fly'"),
        ({"limits": Limits(memory_bytes=1)}, "Minimum memory limit allowed is 6MB"),
        ({"limits": Limits(swap_bytes=5)}, "You should always set the Memory limit"),
        ({"limits": Limits(swappiness=101)}, "memory swappiness range is 0-100"),
        ({"shares": Shares(cpu_period_us=10)}, "CPU cfs period"),
        ({"shares": Shares(cpu_quota_us=10)}, "CPU cfs quota"),
        ({"shares": Shares(cpu_quota_us=5000)}, "Conflicting options: Nano CPUs"),
        ({"shares": Shares(blkio_weight=5)}, "Range of blkio weight"),
        ({"shares": Shares(cpuset_mems="x")}, "cpuset mems"),
        ({"shares": Shares(memory_reservation_bytes=65 << 20)}, "memory reservation limit"),
        ({"restart": ContainerRestart(max_retries=1)}, "can only be used with 'on-failure'"),
        (
            {"restart": ContainerRestart(condition=Restarting.ALWAYS), "auto_remove": True},
            "can't create 'AutoRemove' container with restart policy",
        ),
        ({"pid_mode": "odd"}, "invalid PID mode: odd"),
        ({"ipc_mode": "container:"}, "invalid IPC mode"),
        ({"uts_mode": "container:x"}, "invalid UTS mode"),
        ({"volume_driver": "odd", "volumes": ("/data",)}, "plugin not found"),
        ({"device_cgroup_rules": ("odd",)}, "invalid device cgroup rule format"),
        ({"shm_bytes": -1}, "SHM size"),
        ({"storage_options": {"size": "1G"}}, "--storage-opt is supported only for"),
        ({"container": ContainerSpec(image="i", stop_signal="NO")}, "Invalid signal: NO"),
        ({"log_driver": LogDriver(name="syslog")}, "there is no log driver"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid) as err:
        check(replace(GOOD, **fields))
    assert any(words in each for each in err.value.problems)


def test_all_is_said_at_once() -> None:
    with pytest.raises(Invalid) as err:
        check(replace(GOOD, pid_mode="odd", shm_bytes=-1))
    assert len(err.value.problems) == 2


def test_changes_are_judged_as_what_is_made() -> None:
    check_limits(GOOD.limits, GOOD.shares)
    with pytest.raises(Invalid):
        check_limits(Limits(memory_bytes=1), Shares())
    with pytest.raises(Invalid):
        check_restart(ContainerRestart(max_retries=-1), auto_remove=False)


@pytest.mark.parametrize(
    ("limits", "shares", "words"),
    [
        (Limits(cpu_millis=2001), Shares(), "range of CPUs is from 0.01 to 2.00"),
        (Limits(), Shares(cpuset_cpus="1-2"), "requested 1-2, available: 0-1"),
        (Limits(), Shares(cpuset_mems="1"), "memory nodes are not available"),
    ],
)
def test_what_this_node_has_not_got_is_refused(limits: Limits, shares: Shares, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        check_available(limits, shares, cpus=frozenset((0, 1)), nodes=frozenset((0,)))


def test_what_it_has_is_not() -> None:
    shares = Shares(cpuset_cpus="0-1", cpuset_mems="0")
    check_available(Limits(cpu_millis=2000), shares, cpus=frozenset((0, 1)), nodes=frozenset((0,)))
