"""Know what clients are told of this host: its kernel, its size, and what it can limit."""

from msgspec import Struct


class Host(Struct, frozen=True, kw_only=True):
    """Facts that do not change while we run."""

    kernel: str
    architecture: str
    system: str
    system_version: str
    cpus: int
    memory_bytes: int
    machine_id: str
    has_cgroup_v2: bool
    controls: frozenset[str] = frozenset()
    """Files of control groups that there are: `memory.limit_in_bytes`, `cpu.shares`, ..."""
    forwards_ipv4: bool = False
    filters_bridges: bool = False
    filters_bridges_v6: bool = False
    has_apparmor: bool = False
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

    def limits(self, old: str, new: str) -> bool:
        """Whether the kernel has a control: `old` with cgroup v1, `new` with v2."""
        return (new if self.has_cgroup_v2 else old) in self.controls


def read_release(text: str) -> tuple[str, str]:
    """Name and version of os-release(5)."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip().strip("\"'")
    return found.get("PRETTY_NAME") or found.get("NAME", "Linux"), found.get("VERSION_ID", "")


def read_memory(text: str) -> int:
    """The memory of a host in bytes, from /proc/meminfo."""
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return 0
