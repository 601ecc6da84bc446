"""Stop and resume every process of a container at once."""

from runtime.cgroups.setting import Setting


def v1(*, frozen: bool) -> Setting:
    """Reading the file tells when the last process has stopped."""
    return Setting("freezer.state", ("FROZEN" if frozen else "THAWED",))


def v2(*, frozen: bool) -> Setting:
    """`cgroup.events` tells when the last process has stopped."""
    return Setting("cgroup.freeze", ("1" if frozen else "0",))
