"""The small controllers."""

import pytest

from runtime.cgroups import cpuset, freezer, hugetlb, network, pids, rdma, unified
from runtime.cgroups.layout import Layout
from runtime.oci.config import (
    Cpu,
    HugepageLimit,
    InterfacePriority,
    Network,
    Pids,
    Rdma,
    Resources,
)
from runtime.steps import WriteKernelFile
from tests.runtime.cgroups.asking import asked


def test_nothing_asked_writes_nothing() -> None:
    for controller in (
        cpuset.settings, hugetlb.v1, hugetlb.v2, network.net_cls, network.net_prio, network.v2,
        pids.settings, rdma.settings, unified.v1, unified.v2,
    ):  # fmt: skip
        assert asked(controller, Resources()) == {}


def test_processes_can_be_limited_and_unlimited() -> None:
    assert asked(pids.settings, Resources(pids=Pids(limit=9))) == {"pids.max": "9"}
    assert asked(pids.settings, Resources(pids=Pids(limit=-1))) == {"pids.max": "max"}
    assert asked(pids.settings, Resources(pids=Pids(limit=0))) == {}


def test_cpus_and_memory_nodes_are_set_apart() -> None:
    found = asked(cpuset.settings, Resources(cpu=Cpu(cpus="0-1", mems="0")))

    assert found == {"cpuset.cpus": "0-1", "cpuset.mems": "0"}


def test_huge_pages_are_limited_in_use_and_reserved() -> None:
    resources = Resources(hugepage_limits=(HugepageLimit(page_size="2MB", limit=1 << 21),))
    unlimited = Resources(hugepage_limits=(HugepageLimit(page_size="2MB", limit=(1 << 64) - 1),))

    assert asked(hugetlb.v1, resources) == {
        "hugetlb.2MB.limit_in_bytes": "2097152",
        "hugetlb.2MB.rsvd.limit_in_bytes": "2097152",
    }
    assert asked(hugetlb.v2, unlimited) == {"hugetlb.2MB.max": "max", "hugetlb.2MB.rsvd.max": "max"}


def test_rdma_limits_what_is_named() -> None:
    resources = Resources(
        rdma={"mlx": Rdma(hca_handles=2, hca_objects=5), "b": Rdma(hca_objects=1)}
    )

    assert asked(rdma.settings, resources) == {
        "rdma.max": ("mlx hca_handle=2 hca_object=5", "b hca_object=1")
    }


def test_traffic_is_marked_by_v1_only() -> None:
    resources = Resources(
        network=Network(class_id=0x100001, priorities=(InterfacePriority(name="eth0", priority=5),))
    )

    assert asked(network.net_cls, resources) == {"net_cls.classid": "1048577"}
    assert asked(network.net_prio, resources) == {"net_prio.ifpriomap": "eth0 5"}
    assert sorted(asked(network.v2, resources)) == ["network.classID", "network.priorities"]


def test_files_of_v2_are_written_by_name_line_by_line() -> None:
    resources = Resources(unified={"memory.high": "5", "io.max": "8:0 rbps=1\n8:16 rbps=2"})

    assert asked(unified.v2, resources) == {
        "memory.high": "5", "io.max": ("8:0 rbps=1", "8:16 rbps=2"),
    }  # fmt: skip
    assert sorted(asked(unified.v1, resources)) == ["unified.io.max", "unified.memory.high"]


@pytest.mark.parametrize(
    "name",
    ["../memory.max", "memory.max/..", "a/b", "", ".", "..", "memory", "cgroup.procs",
     "cgroup.kill", "cgroup.threads", "cgroup.type", "cgroup.subtree_control", "cgroup.freeze"],
)  # fmt: skip
def test_a_name_leads_nowhere_else_and_moves_nobody(name: str) -> None:
    assert list(asked(unified.v2, Resources(unified={name: "1"}))) == [f"unified.{name}"]


def test_freezing_asks_the_unified_hierarchy_where_there_is_one() -> None:
    v1 = Layout(v1={"freezer": "/cg/freezer", "pids": "/cg/pids"})
    hybrid = Layout(v1=v1.v1, unified="/cg/unified")

    assert freezer.freeze(v1, "a/b") == WriteKernelFile(
        "/cg/freezer/a/b/freezer.state", ("FROZEN",)
    )
    assert freezer.thaw(hybrid, "a/b") == WriteKernelFile("/cg/unified/a/b/cgroup.freeze", ("0",))
    assert freezer.events_file(hybrid, "a/b") == "/cg/unified/a/b/cgroup.events"
    assert freezer.events_file(v1, "a/b") == "/cg/freezer/a/b/freezer.state"


def test_a_group_is_frozen_once_its_last_process_has_stopped() -> None:
    assert freezer.is_frozen("FROZEN\n")
    assert freezer.is_frozen("populated 1\nfrozen 1\n")
    assert not freezer.is_frozen("FREEZING\n")
    assert not freezer.is_frozen("populated 1\nfrozen 0\n")
    assert [freezer.is_wished(x) for x in ("1\n", "FREEZING\n", "0\n", "THAWED\n", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
