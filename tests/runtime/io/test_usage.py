import os
from pathlib import Path

from runtime.cgroups.layout import Layout
from runtime.cgroups.stats import Stats
from runtime.io import usage


def make_group(path: Path, **files: str) -> None:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)


def test_files_that_are_there_are_read_and_the_rest_counts_nothing(tmp_path: Path) -> None:
    make_group(tmp_path / "h/c1", cpu__stat="usage_usec 5\n", memory__current="4096\n")
    layout = Layout(v1={}, unified=str(tmp_path))

    found = usage.read_stats(layout, "h/c1")

    assert (found.cpu.usage_ns, found.memory.usage_bytes, found.pids.current) == (5000, 4096, 0)
    assert found.memory.limit_bytes == usage.host_memory_bytes() > 0


def test_a_container_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    found = usage.read_stats(Layout(v1={}, unified=str(tmp_path)), "h/c1")

    assert found.cpu == Stats().cpu
    assert found.memory.usage_bytes == 0


def test_processes_of_nested_groups_are_the_containers_too(tmp_path: Path) -> None:
    make_group(tmp_path / "h/c1", cgroup__procs="7\n5\n")
    make_group(tmp_path / "h/c1/inner/deeper", cgroup__procs="9\n")
    make_group(tmp_path / "h/c2", cgroup__procs="1\n")
    layout = Layout(v1={"pids": str(tmp_path)})

    assert usage.pids(layout, "h/c1") == [5, 7, 9]
    assert usage.pids(layout, "h/c3") == []


def test_interfaces_are_those_that_a_process_sees() -> None:
    seen = {
        line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().split("\n")[2:]
    }

    assert {each.name for each in usage.read_networks(os.getpid())} == seen - {"lo", ""}
    assert usage.read_networks(2**22 + 1) == ()
