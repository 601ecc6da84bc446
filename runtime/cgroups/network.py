"""Mark a container's traffic for the host's traffic control, which only v1 can."""

from collections.abc import Iterator

from runtime.cgroups.setting import Refusal, Setting
from runtime.oci.config import Network, Resources

_REASON = "cgroup v2 marks no traffic; match the group's path in nftables instead"


def net_cls(resources: Resources) -> Iterator[Setting]:
    """Documentation/admin-guide/cgroup-v1/net_cls.rst."""
    network = resources.network or Network()
    if network.class_id:
        yield Setting("net_cls.classid", (str(network.class_id),))


def net_prio(resources: Resources) -> Iterator[Setting]:
    """Documentation/admin-guide/cgroup-v1/net_prio.rst; one line an interface."""
    network = resources.network or Network()
    if network.priorities:
        lines = tuple(f"{each.name} {each.priority}" for each in network.priorities)
        yield Setting("net_prio.ifpriomap", lines)


def v2(resources: Resources) -> Iterator[Refusal]:
    """Nothing of it exists."""
    network = resources.network or Network()
    if network.class_id:
        yield Refusal("network.classID", _REASON)
    if network.priorities:
        yield Refusal("network.priorities", _REASON)
