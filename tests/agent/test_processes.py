import os

import pytest

from agent.processes import (
    Clock,
    boot_time,
    effective_uid,
    read_process,
    terminal,
    user_names,
    words,
)

CLOCK = Clock(booted_at=1000.0, ticks_per_s=100, page_bytes=4096)
STAT = "42 (a b) c) S 7 40 41 34817 99 4194560 1 2 3 4 150 50 6 7 20 -5 3 0 2000 8192 10 1844"
STATUS = "Name:\tx\nUid:\t1000\t33\t1000\t1000\nGid:\t0\t0\t0\t0\n"


def test_a_process_is_read_even_if_its_name_has_brackets() -> None:
    found = read_process(STAT, STATUS, b"cat\0-n\0", users={33: "www"}, clock=CLOCK)

    assert (found.pid, found.ppid, found.pgid, found.sid) == (42, 7, 40, 41)
    assert found.name == "a b) c"
    assert (found.uid, found.user) == (33, "www")
    assert (found.cpu_s, found.started_at) == (2.0, 1020.0)
    assert (found.virtual_bytes, found.resident_bytes) == (8192, 40960)
    assert (found.priority, found.nice, found.threads) == (20, -5, 3)
    assert found.tty == "pts/1"
    assert found.args == ("cat", "-n")


def test_a_user_without_a_name_is_a_number() -> None:
    assert read_process(STAT, STATUS, b"", users={}, clock=CLOCK).user == "33"


def test_a_process_that_says_no_uid_is_taken_for_root() -> None:
    assert effective_uid("Name:\tx\n") == 0


@pytest.mark.parametrize(
    ("major", "minor", "name"),
    [
        (0, 0, "?"),
        (136, 3, "pts/3"),
        (137, 1, "pts/257"),
        (136, 300, "pts/300"),
        (4, 1, "tty1"),
        (4, 65, "ttyS1"),
        (5, 1, "console"),
        (5, 2, "?"),
        (8, 0, "?"),
    ],
)
def test_terminals_have_their_names(major: int, minor: int, name: str) -> None:
    assert terminal(os.makedev(major, minor)) == name


def test_arguments_end_with_their_last_character() -> None:
    assert words(b"") == ()
    assert words(b"sleep\0") == ("sleep",)
    assert words(b"sh\0-c\0\xff\0") == ("sh", "-c", "�")
    assert words(b"renamed itself") == ("renamed itself",)


def test_host_files_are_read() -> None:
    assert boot_time("cpu 1 2\nbtime 1700000000\n") == 1.7e9
    assert boot_time("") == 0.0
    passwd = "root:x:0:0::/:\ntoor:x:0:0::/:\nbroken\na:x:5:5::/:\n"
    assert user_names(passwd) == {0: "root", 5: "a"}
