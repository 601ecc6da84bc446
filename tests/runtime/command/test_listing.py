import pytest

from runtime.command import listing
from runtime.oci.state import Listed, Status


def listed(name: str, pid: int) -> Listed:
    return Listed(
        oci_version="1.2.0",
        id=name,
        pid=pid,
        status=Status.RUNNING,
        bundle="/bundles/" + name,
        rootfs="/r",
        created="2026-01-02T03:04:05Z",
        owner="root",
    )


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    text = listing.containers([listed("a", 1), listed("a-rather-long-name", 22)])

    heading, first, second = text.splitlines()
    for column, cell in (("PID", "1"), ("STATUS", "running"), ("OWNER", "root")):
        assert first.index(f" {cell}") == heading.index(f" {column}")
    assert second.startswith("a-rather-long-name   22 ")


def test_no_container_leaves_the_heading() -> None:
    assert listing.containers([]).split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]


PS = """\
UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 06:00 ?        00:00:00 init 12
root          12       1  0 06:00 ?        00:00:00 sleep 1
root         112       1  0 06:00 ?        00:00:00 sleep 12
"""


def test_of_ps_the_lines_of_the_container_are_kept() -> None:
    assert listing.processes(PS, {12}).splitlines() == [PS.splitlines()[0], PS.splitlines()[2]]
    assert listing.processes(PS, set()) == PS.splitlines()[0] + "\n"


def test_ps_without_pids_is_of_no_use() -> None:
    with pytest.raises(ValueError, match="PID"):
        listing.processes("CMD\ninit\n", {1})
