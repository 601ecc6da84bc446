import pytest

from runtime.oci.config import Cpu, Memory, Pids
from runtime.oci.config import Resources as OciResources
from runtime.spec import Mount, Resources, UserNamespace
from runtime.translation import group_path, to_config, to_extras, to_resources
from tests.runtime.specs import make_spec

MIB = 1024 * 1024


def test_no_limit_asks_for_nothing() -> None:
    assert to_resources(Resources()) == OciResources()


def test_cpu_is_a_quota_of_each_tenth_of_a_second() -> None:
    found = to_resources(Resources(cpu_millis=250))

    assert found == OciResources(cpu=Cpu(quota=25_000, period=100_000))


def test_memory_alone_allows_no_swap() -> None:
    alone = to_resources(Resources(memory_bytes=64 * MIB))
    unlimited = to_resources(Resources(memory_bytes=64 * MIB, memory_swap_bytes=-1))

    assert alone.memory == Memory(limit=64 * MIB, swap=64 * MIB)
    assert unlimited.memory == Memory(limit=64 * MIB, swap=-1)


def test_swappiness_needs_no_limit_and_may_be_zero() -> None:
    assert to_resources(Resources(memory_swappiness=0)).memory == Memory(swappiness=0)
    assert to_resources(Resources()).memory is None


def test_pinning_and_processes() -> None:
    found = to_resources(Resources(cpuset_cpus="0-1", cpuset_mems="0", pids_limit=9))

    assert found == OciResources(cpu=Cpu(cpus="0-1", mems="0"), pids=Pids(limit=9))


def test_a_group_lies_in_the_parent_of_its_host() -> None:
    assert group_path(make_spec(cgroup_parent="h1")) == "h1/t1"


@pytest.mark.parametrize("user_namespace", [None, UserNamespace(uids=(), gids=())])
def test_mounts_are_mapped_only_where_ids_are(user_namespace: UserNamespace | None) -> None:
    mount = Mount(source="/v", target="/data", mapped=True, copy_up=True)
    spec = make_spec(mounts=(mount,), user_namespace=user_namespace)

    [made] = [each for each in to_config(spec).mounts if each.destination == "/data"]
    [copying] = to_extras(spec).copy_ups

    assert ("idmap" in made.options) == (user_namespace is not None)
    assert copying.mapped == (user_namespace is not None)
