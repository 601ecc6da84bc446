"""Read what containers use. Nothing is kept, and nothing runs while nobody asks.

A container that has ended has no groups: everything about it is 0. With many containers this
is a matter of a tenth of a millisecond each, most of it the kernel's own adding up of
memory.stat; callers in an event loop want a thread.
"""

# Plain strings: pathlib would cost every scrape time.
# ruff: noqa: PTH208

import contextlib
import os

from runtime.cgroups import groups, stats
from runtime.cgroups.layout import Layout
from runtime.cgroups.stats import NetworkUsage, Stats
from runtime.io.cgroups import read

_HUGEPAGES = "/sys/kernel/mm/hugepages"
_KIB = 1024


def read_stats(layout: Layout, path: str, *, details: bool = True) -> Stats:
    """What the container in the groups at `path` uses, but for its networks."""
    wanted = list(stats.files(layout, path, details=details))
    if details:
        for size in _hugepage_sizes():
            wanted += stats.hugepage_files(layout, path, size)
    texts = {name: text for name, file in wanted if (text := read(file))}
    return stats.parse(texts, host_memory_bytes=host_memory_bytes())


def read_networks(pid: int) -> tuple[NetworkUsage, ...]:
    """The interfaces that process `pid` of the host sees; none if it is gone."""
    return stats.parse_networks(read(f"/proc/{pid}/net/dev"))


def pids(layout: Layout, path: str) -> list[int]:
    """The host's numbers of all processes in the container, those of nested groups too."""
    top = groups.procs_file(layout, path).removesuffix("/cgroup.procs")
    return sorted({pid for directory in _groups(top) for pid in _listed(directory)})


def host_memory_bytes() -> int:
    """How much memory this host has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(top: str) -> list[str]:
    found = [top]
    for directory in found:
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def _listed(directory: str) -> list[int]:
    return [int(pid) for pid in read(f"{directory}/cgroup.procs").split()]


def _hugepage_sizes() -> list[str]:
    """As control groups write them: 2MB, 1GB."""
    with contextlib.suppress(OSError):
        return sorted(_named(int(name[10:-2])) for name in os.listdir(_HUGEPAGES))
    return []


def _named(kib: int) -> str:
    for unit in ("KB", "MB"):
        if kib < _KIB:
            return f"{kib}{unit}"
        kib //= _KIB
    return f"{kib}GB"
