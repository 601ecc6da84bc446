import pytest

from agent.standalone.listing import arguments, listing
from swarm.errors import Invalid

FULL = """UID        PID  PPID CMD
root         1     0 /sbin/init splash
me          70     1 sh -c  echo x
me          71    70 sleep 1
"""
THREADS = """  PID   LWP CMD
   70     - sh
    -    70 -
   99     - other
    -    99 -
"""


def test_rows_of_these_processes_are_kept_with_all_words_of_the_last_column() -> None:
    found = listing(FULL, {70, 71})
    assert found.titles == ("UID", "PID", "PPID", "CMD")
    assert found.rows == (("me", "70", "1", "sh -c  echo x"), ("me", "71", "70", "sleep 1"))


def test_lines_of_threads_go_with_their_process() -> None:
    assert listing(THREADS, {70}).rows == (("70", "-", "sh"), ("-", "70", "-"))


def test_without_a_column_of_pids_nobody_knows_whose_lines_they_are() -> None:
    with pytest.raises(Invalid, match="Couldn't find PID field in ps output"):
        listing("CMD\nsh\n", {1})
    with pytest.raises(Invalid):
        listing("", {1})


def test_arguments_are_words_and_another_column_may_not_be_called_pid() -> None:
    assert arguments(()) == ("-ef",)
    assert arguments(("aux",)) == ("aux",)
    assert arguments(("-o pid,comm",)) == ("-o", "pid,comm")
    assert arguments(("-o", "pid=PID")) == ("-o", "pid=PID")
    for bad in ("-o user=PID", "-o pid,ppid=PID", "x\0"):
        with pytest.raises(Invalid):
            arguments((bad,))
