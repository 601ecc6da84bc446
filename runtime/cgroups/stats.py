"""Say what a container uses, from the files in which the kernel counts it.

Which files there are depends on the layout; what is made of them does not. A file that is
missing counts nothing, so a kernel without swap accounting or pressure still has the rest.
Bytes and nanoseconds throughout; a limit of 0 is none.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from runtime.cgroups.layout import Layout

Texts: TypeAlias = Mapping[str, str]
_UNLIMITED: Final = 1 << 60  # v1 says 2**63 less a page
_TICK_NS: Final = 10_000_000  # of a clock that user space is told to tick at 100 Hz


class CpuUsage(Struct, frozen=True, kw_only=True):
    """CPU time since the start, and how often a quota was used up."""

    usage_ns: int = 0
    user_ns: int = 0
    system_ns: int = 0
    per_cpu_ns: tuple[int, ...] = ()
    per_cpu_user_ns: tuple[int, ...] = ()
    per_cpu_system_ns: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0


class MemoryUsage(Struct, frozen=True, kw_only=True):
    """`working_set_bytes` is what could not be freed at once: usage less inactive file pages.

    `limit_bytes` is the least of the container's, its parents' and the host's. `failures` says
    how often a limit was hit, `oom_kills` how many processes died of it. `raw` is the kernel's
    own table.
    """

    usage_bytes: int = 0
    working_set_bytes: int = 0
    limit_bytes: int = 0
    max_usage_bytes: int = 0
    failures: int = 0
    oom_kills: int = 0
    rss_bytes: int = 0
    cache_bytes: int = 0
    swap_bytes: int = 0
    swap_limit_bytes: int = 0
    swap_failures: int = 0
    kernel_bytes: int = 0
    raw: dict[str, int] = {}


class DeviceUsage(Struct, frozen=True, kw_only=True):
    """What one block device did for the container."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


class IoUsage(Struct, frozen=True, kw_only=True):
    """All block devices together, and each."""

    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0
    devices: tuple[DeviceUsage, ...] = ()


class PidsUsage(Struct, frozen=True, kw_only=True):
    """Processes and threads."""

    current: int = 0
    limit: int = 0


class HugepageUsage(Struct, frozen=True, kw_only=True):
    """Huge pages of one size, such as 2MB."""

    page_size: str
    usage_bytes: int = 0
    max_usage_bytes: int = 0
    failures: int = 0


class Pressure(Struct, frozen=True, kw_only=True):
    """The share of time (in percent) lost waiting, of the last 10, 60 and 300 s, and in all."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total_us: int = 0


class Pressures(Struct, frozen=True, kw_only=True):
    """Time in which some, or all at once, waited for one thing."""

    some: Pressure = Pressure()
    full: Pressure = Pressure()


class NetworkUsage(Struct, frozen=True, kw_only=True):
    """The counters of one interface."""

    name: str
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class Stats(Struct, frozen=True, kw_only=True):
    """What a container uses now and has used. Pressure is told by v2 only."""

    cpu: CpuUsage = CpuUsage()
    memory: MemoryUsage = MemoryUsage()
    io: IoUsage = IoUsage()
    pids: PidsUsage = PidsUsage()
    hugepages: tuple[HugepageUsage, ...] = ()
    cpu_pressure: Pressures | None = None
    memory_pressure: Pressures | None = None
    io_pressure: Pressures | None = None
    networks: tuple[NetworkUsage, ...] = ()


_DEVICE: Final = re.compile(r"([0-9]+):([0-9]+) (.*)")
_PER_CPU: Final = re.compile(r"^[0-9]+ ([0-9]+) ([0-9]+)$", re.MULTILINE)
_PRESSURE: Final = re.compile(
    r"^(?P<kind>some|full) avg10=(?P<avg10>[0-9]+\.[0-9]+) avg60=(?P<avg60>[0-9]+\.[0-9]+) "
    r"avg300=(?P<avg300>[0-9]+\.[0-9]+) total=(?P<total>[0-9]+)$",
    re.MULTILINE,
)
_NETWORK_COUNTS: Final = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
    "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
)  # fmt: skip
_V1: Final = {
    "cpu": ("cpu.stat",),
    "cpuacct": ("cpuacct.usage", "cpuacct.stat"),
    "memory": ("memory.usage_in_bytes", "memory.stat", "memory.oom_control"),
    "blkio": ("blkio.throttle.io_service_bytes_recursive",),
    "pids": ("pids.current",),
}
_V1_DETAILS: Final = {
    "cpuacct": ("cpuacct.usage_user", "cpuacct.usage_sys", "cpuacct.usage_all"),
    "memory": (
        "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt",
        "memory.memsw.limit_in_bytes", "memory.memsw.failcnt", "memory.kmem.usage_in_bytes",
    ),
    "blkio": ("blkio.throttle.io_serviced_recursive",),
    "pids": ("pids.max",),
}  # fmt: skip
_V2: Final = {
    "cpu": ("cpu.stat",),
    "memory": ("memory.current", "memory.max", "memory.stat", "memory.events"),
    "blkio": ("io.stat",),
    "pids": ("pids.current",),
}
_V2_DETAILS: Final = {
    "cpu": ("cpu.pressure",),
    "memory": ("memory.peak", "memory.swap.current", "memory.swap.max", "memory.pressure"),
    "blkio": ("io.pressure",),
    "pids": ("pids.max",),
}


def files(layout: Layout, path: str, *, details: bool = True) -> Iterator[tuple[str, str]]:
    """What to read: the name under which `parse` wants the text, and where it is.

    Without `details` it is what a table of many containers shows.
    """
    for controller, names in _V1.items():
        if controller in layout.v1:
            found = (*names, *(_V1_DETAILS.get(controller, ()) if details else ()))
            root = layout.v1[controller]
        elif layout.unified and not (layout.v1 and controller in ("cpu", "cpuacct")):
            found = _V2.get(controller, ())
            found = (*found, *(_V2_DETAILS.get(controller, ()) if details else ()))
            root = layout.unified
        else:
            continue
        for name in found:
            yield name, f"{root}/{path}/{name}"


def hugepage_files(layout: Layout, path: str, size: str) -> Iterator[tuple[str, str]]:
    """The same for huge pages of `size`."""
    if "hugetlb" in layout.v1:
        names = ("usage_in_bytes", "max_usage_in_bytes", "failcnt")
        root = layout.v1["hugetlb"]
    elif layout.unified:
        names, root = ("current", "max", "events"), layout.unified
    else:
        return
    for name in names:
        yield f"hugetlb.{size}.{name}", f"{root}/{path}/hugetlb.{size}.{name}"


def parse(texts: Texts, *, host_memory_bytes: int = 0) -> Stats:
    """Make one value of the texts of `files` and `hugepage_files`."""
    return Stats(
        cpu=_cpu_v1(texts) if "cpuacct.usage" in texts else _cpu_v2(texts),
        memory=(
            _memory_v1(texts, host_memory_bytes)
            if "memory.usage_in_bytes" in texts
            else _memory_v2(texts, host_memory_bytes)
        ),
        io=_io(_io_v2(texts["io.stat"]) if "io.stat" in texts else _io_v1(texts)),
        pids=PidsUsage(current=_number(texts, "pids.current"), limit=_number(texts, "pids.max")),
        hugepages=tuple(_hugepages(texts)),
        cpu_pressure=_pressures(texts.get("cpu.pressure", "")),
        memory_pressure=_pressures(texts.get("memory.pressure", "")),
        io_pressure=_pressures(texts.get("io.pressure", "")),
    )


def parse_networks(net_dev: str) -> tuple[NetworkUsage, ...]:
    """Read the text of /proc/<pid>/net/dev; the loopback interface does not count."""
    found: list[NetworkUsage] = []
    for line in net_dev.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(each) for each in rest.split() if each.isdecimal()]
        if name.strip() == "lo" or len(numbers) < 12:
            continue
        counts = dict(zip(_NETWORK_COUNTS, numbers[0:4] + numbers[8:12], strict=True))
        found.append(NetworkUsage(name=name.strip(), **counts))
    return tuple(found)


def _cpu_v1(texts: Texts) -> CpuUsage:
    stat, ticks = _table(texts.get("cpu.stat", "")), _table(texts.get("cpuacct.stat", ""))
    each = _PER_CPU.findall(texts.get("cpuacct.usage_all", ""))
    user, system = (tuple(int(cpu[column]) for cpu in each) for column in (0, 1))
    return CpuUsage(
        usage_ns=_number(texts, "cpuacct.usage"),
        user_ns=_number(texts, "cpuacct.usage_user") or _count(ticks, "user") * _TICK_NS,
        system_ns=_number(texts, "cpuacct.usage_sys") or _count(ticks, "system") * _TICK_NS,
        per_cpu_ns=tuple(sum(both) for both in zip(user, system, strict=True)),
        per_cpu_user_ns=user,
        per_cpu_system_ns=system,
        periods=_count(stat, "nr_periods"),
        throttled_periods=_count(stat, "nr_throttled"),
        throttled_ns=_count(stat, "throttled_time"),
    )


def _cpu_v2(texts: Texts) -> CpuUsage:
    stat = _table(texts.get("cpu.stat", ""))
    return CpuUsage(
        usage_ns=_count(stat, "usage_usec") * 1000,
        user_ns=_count(stat, "user_usec") * 1000,
        system_ns=_count(stat, "system_usec") * 1000,
        periods=_count(stat, "nr_periods"),
        throttled_periods=_count(stat, "nr_throttled"),
        throttled_ns=_count(stat, "throttled_usec") * 1000,
    )


def _memory_v1(texts: Texts, host_bytes: int) -> MemoryUsage:
    stat = _table(texts.get("memory.stat", ""))
    usage = _number(texts, "memory.usage_in_bytes")
    both = _number(texts, "memory.memsw.limit_in_bytes")
    limits = _number(texts, "memory.limit_in_bytes"), _count(stat, "hierarchical_memory_limit")
    return MemoryUsage(
        usage_bytes=usage,
        working_set_bytes=max(0, usage - _count(stat, "total_inactive_file")),
        limit_bytes=_least(*limits, host_bytes),
        max_usage_bytes=_number(texts, "memory.max_usage_in_bytes"),
        failures=_number(texts, "memory.failcnt"),
        oom_kills=_count(_table(texts.get("memory.oom_control", "")), "oom_kill"),
        rss_bytes=_count(stat, "total_rss"),
        cache_bytes=_count(stat, "total_cache"),
        swap_bytes=_count(stat, "total_swap"),
        swap_limit_bytes=max(0, both - _number(texts, "memory.limit_in_bytes"))
        if both < _UNLIMITED
        else 0,
        swap_failures=_number(texts, "memory.memsw.failcnt"),
        kernel_bytes=_number(texts, "memory.kmem.usage_in_bytes"),
        raw={name: int(text) for name, text in stat.items() if text.isdecimal()},
    )


def _memory_v2(texts: Texts, host_bytes: int) -> MemoryUsage:
    stat = _table(texts.get("memory.stat", ""))
    events = _table(texts.get("memory.events", ""))
    usage = _number(texts, "memory.current")
    return MemoryUsage(
        usage_bytes=usage,
        working_set_bytes=max(0, usage - _count(stat, "inactive_file")),
        limit_bytes=_least(_number(texts, "memory.max"), host_bytes),
        max_usage_bytes=_number(texts, "memory.peak"),
        failures=_count(events, "max"),
        oom_kills=_count(events, "oom_kill"),
        rss_bytes=_count(stat, "anon"),
        cache_bytes=_count(stat, "file"),
        swap_bytes=_number(texts, "memory.swap.current"),
        swap_limit_bytes=_number(texts, "memory.swap.max"),
        kernel_bytes=_count(stat, "kernel"),
        raw={name: int(text) for name, text in stat.items() if text.isdecimal()},
    )


def _io(devices: dict[tuple[int, int], dict[str, int]]) -> IoUsage:
    found = tuple(
        DeviceUsage(major=major, minor=minor, **counts)
        for (major, minor), counts in sorted(devices.items())
    )
    return IoUsage(
        read_bytes=sum(each.read_bytes for each in found),
        write_bytes=sum(each.write_bytes for each in found),
        reads=sum(each.reads for each in found),
        writes=sum(each.writes for each in found),
        devices=found,
    )


def _io_v1(texts: Texts) -> dict[tuple[int, int], dict[str, int]]:
    """Lines such as `8:0 Read 4096`."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for file, names in (
        ("io_service_bytes", {"Read": "read_bytes", "Write": "write_bytes"}),
        ("io_serviced", {"Read": "reads", "Write": "writes"}),
    ):
        for device, rest in _device_lines(texts.get(f"blkio.throttle.{file}_recursive", "")):
            operation, _, count = rest.partition(" ")
            if operation in names and count.isdecimal():
                found.setdefault(device, {})[names[operation]] = int(count)
    return found


def _io_v2(text: str) -> dict[tuple[int, int], dict[str, int]]:
    """Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`."""
    names = {"rbytes": "read_bytes", "wbytes": "write_bytes", "rios": "reads", "wios": "writes"}
    found: dict[tuple[int, int], dict[str, int]] = {}
    for device, rest in _device_lines(text):
        for word in rest.split():
            key, _, value = word.partition("=")
            if key in names and value.isdecimal():
                found.setdefault(device, {})[names[key]] = int(value)
    return found


def _device_lines(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Devices by their numbers, and what a line says about each."""
    for line in text.splitlines():
        if match := _DEVICE.fullmatch(line):
            yield (int(match[1]), int(match[2])), match[3]


def _hugepages(texts: Texts) -> Iterator[HugepageUsage]:
    for name in texts:
        size = name.removeprefix("hugetlb.").partition(".")[0]
        if name == f"hugetlb.{size}.usage_in_bytes":
            yield HugepageUsage(
                page_size=size,
                usage_bytes=_number(texts, name),
                max_usage_bytes=_number(texts, f"hugetlb.{size}.max_usage_in_bytes"),
                failures=_number(texts, f"hugetlb.{size}.failcnt"),
            )
        elif name == f"hugetlb.{size}.current":
            yield HugepageUsage(
                page_size=size,
                usage_bytes=_number(texts, name),
                failures=_count(_table(texts.get(f"hugetlb.{size}.events", "")), "max"),
            )


def _pressures(text: str) -> Pressures | None:
    found = {
        match["kind"]: Pressure(
            avg10=float(match["avg10"]),
            avg60=float(match["avg60"]),
            avg300=float(match["avg300"]),
            total_us=int(match["total"]),
        )
        for match in _PRESSURE.finditer(text)
    }
    if not found:
        return None
    return Pressures(some=found.get("some", Pressure()), full=found.get("full", Pressure()))


def _table(text: str) -> dict[str, str]:
    """Pairs of a name and a number. A thousand are read at once, so it is done in one go."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=False))


def _count(table: dict[str, str], name: str) -> int:
    text = table.get(name, "")
    return int(text) if text.isdecimal() else 0


def _number(texts: Texts, name: str) -> int:
    """A file with one number; `max` and what v1 means by it are 0."""
    text = texts.get(name, "").strip()
    number = int(text) if text.isdecimal() else 0
    return number if number < _UNLIMITED else 0


def _least(*limits: int) -> int:
    return min((each for each in limits if 0 < each < _UNLIMITED), default=0)
