from runtime.cgroups.layout import Hierarchy, Layout, read_layout

HYBRID = """\
24 1 0:22 / /proc rw,nosuid - proc proc rw
30 25 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:28 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
32 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 30 0:32 / /sys/fs/cgroup/debug rw - cgroup cgroup rw,debug
"""
TOGETHER = "/sys/fs/cgroup/cpu,cpuacct"


def test_on_a_hybrid_host_the_controllers_are_v1s_and_groups_are_unified_too() -> None:
    layout = read_layout(HYBRID, "hugetlb\n")

    assert layout.v1 == {"cpu": TOGETHER, "cpuacct": TOGETHER, "memory": "/sys/fs/cgroup/memory"}
    assert layout.hierarchies == (TOGETHER, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified")
    assert layout.controllers == ("hugetlb",)


def test_a_hierarchy_says_how_it_is_mounted_again() -> None:
    layout = read_layout(HYBRID)

    assert layout.hierarchy(TOGETHER) == Hierarchy(TOGETHER, "cgroup", "cpu,cpuacct")
    assert layout.hierarchy("/sys/fs/cgroup/unified").type == "cgroup2"
    assert [layout.hierarchy(root).name for root in layout.hierarchies] == [
        "cpu,cpuacct", "memory", "unified",
    ]  # fmt: skip


def test_on_a_v1_host_there_is_no_unified_hierarchy() -> None:
    layout = read_layout("\n".join(x for x in HYBRID.splitlines() if "cgroup2" not in x))

    assert layout.unified == ""
    assert layout.hierarchies == (TOGETHER, "/sys/fs/cgroup/memory")


def test_on_a_v2_host_there_is_one_hierarchy() -> None:
    layout = read_layout(
        "30 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n", "cpu memory pids\n"
    )

    assert layout == Layout(v1={}, unified="/sys/fs/cgroup", controllers=("cpu", "memory", "pids"))
    assert layout.hierarchies == ("/sys/fs/cgroup",)
