from runtime.cgroups.layout import Layout, read_layout

HYBRID = """\
24 1 0:22 / /proc rw,nosuid - proc proc rw
30 25 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:28 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
32 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 30 0:32 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls
"""


def test_on_a_hybrid_host_the_controllers_are_v1s() -> None:
    layout = read_layout(HYBRID)

    together = "/sys/fs/cgroup/cpu,cpuacct"
    assert layout.v1 == {"cpu": together, "cpuacct": together, "memory": "/sys/fs/cgroup/memory"}
    assert layout.hierarchies == (together, "/sys/fs/cgroup/memory")


def test_on_a_v2_host_there_is_one_hierarchy() -> None:
    layout = read_layout("30 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n")

    assert layout == Layout(v1={}, unified="/sys/fs/cgroup")
    assert layout.hierarchies == ("/sys/fs/cgroup",)
