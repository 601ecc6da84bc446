import pytest

from runtime.cgroups.layout import Layout
from runtime.command.subgroups import redirected, subgroups
from runtime.plan import Plan
from runtime.steps import JoinCgroup, SetUmask
from swarm.errors import Invalid

V1 = Layout(v1={"cpu": "/c/cpu", "cpuacct": "/c/cpu", "memory": "/c/memory"})
V2 = Layout(v1={}, unified="/c")


def test_a_path_alone_is_below_every_hierarchy() -> None:
    assert subgroups(("/a/./b/",), V1) == {"/c/cpu": "a/b", "/c/memory": "a/b"}
    assert subgroups(("a",), V2) == {"/c": "a"}


def test_controllers_choose_hierarchies() -> None:
    assert subgroups(("memory:a", "cpu,cpuacct:b"), V1) == {"/c/memory": "a", "/c/cpu": "b"}


@pytest.mark.parametrize("asked", ["../x", "a/../b", "rdma:a", ":a", "cpu,:a"])
def test_what_is_no_group_of_the_container_is_refused(asked: str) -> None:
    with pytest.raises(Invalid, match="--cgroup"):
        subgroups((asked,), V1)


def test_only_joining_is_redirected() -> None:
    plan = Plan(
        host=(),
        container=(JoinCgroup("/c/cpu/g/1"), JoinCgroup("/c/memory/g/1"), SetUmask(0o22)),
    )

    changed = redirected(plan, "g/1", {"/c/memory": "in"})

    assert changed.container == (
        JoinCgroup("/c/cpu/g/1"),
        JoinCgroup("/c/memory/g/1/in"),
        SetUmask(0o22),
    )
