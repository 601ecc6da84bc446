"""Build specs with defaults for tests of the core."""

from typing import Any

from runtime.cgroups.layout import Layout
from runtime.spec import ContainerSpec, Log, Overlay

V1 = Layout(
    v1={
        "cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct", "cpuset": "/cg/cpuset",
        "devices": "/cg/devices", "memory": "/cg/memory", "pids": "/cg/pids",
    },
)  # fmt: skip
HYBRID = Layout(
    v1=V1.v1 | {"freezer": "/cg/freezer"}, unified="/cg/unified", controllers=("hugetlb",)
)
V2 = Layout(v1={}, unified="/cg")


def make_spec(**fields: Any) -> ContainerSpec:
    defaults: dict[str, Any] = {
        "id": "t1",
        "args": ("/bin/app", "-v"),
        "rootfs": Overlay(lower_dirs=("/l/1", "/l/0"), upper_dir="/c/t1/up", work_dir="/c/t1/wk"),
        "log": Log(path="/c/t1/log"),
    }
    return ContainerSpec(**(defaults | fields))
