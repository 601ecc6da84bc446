from typing import Any

import pytest

from swarm.api.v1 import control_pb2 as pb
from swarm.errors import Invalid
from swarmctl.processes import COLUMNS, Moment, chosen, table

NOW = 1_800_000_000.0  # a Friday morning in UTC
MOMENT = Moment(now=NOW, memory_bytes=1000 << 20)


def process(pid: int = 7, **fields: Any) -> pb.Process:
    found: dict[str, Any] = {
        "ppid": 1, "uid": 0, "user": "root", "state": "S", "tty": "?", "started_at": NOW - 100,
        "cpu_s": 25.0, "resident_bytes": 50 << 20, "virtual_bytes": 80 << 20, "priority": 20,
        "threads": 1, "pgid": pid, "sid": 1, "name": "sh", "args": ["sh", "-c", "sleep 1"],
    }  # fmt: skip
    return pb.Process(pid=pid, **(found | fields))


def shown(*options: str, **fields: Any) -> dict[str, str]:
    """One process under its headings."""
    headings, cells = table([process(**fields)], chosen(options), MOMENT)
    return dict(zip(headings, cells, strict=True))


def test_the_default_is_the_full_format_of_ps() -> None:
    found = shown()

    assert found == shown("-ef")
    assert found == {
        "UID": "root",
        "PID": "7",
        "PPID": "1",
        "C": "25",
        "STIME": "07:58",
        "TTY": "?",
        "TIME": "00:00:25",
        "CMD": "sh -c sleep 1",
    }


@pytest.mark.parametrize("options", [("aux",), ("-aux",), ("auxww",), ("au",)])
def test_the_formats_of_bsd_have_shares(options: tuple[str, ...]) -> None:
    found = shown(*options)

    assert list(found) == [
        "USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND",
    ]  # fmt: skip
    assert (found["%CPU"], found["%MEM"]) == ("25.0", "5.0")
    assert (found["VSZ"], found["RSS"], found["TIME"]) == ("81920", "51200", "0:25")


@pytest.mark.parametrize(
    "options",
    [("-o", "pid,comm"), ("-eo", "pid,comm"), ("-opid,comm",), ("-o", "pid", "-o", "comm"),
     ("o", "pid comm"), ("--format=pid,comm",)],
)  # fmt: skip
def test_columns_are_chosen(options: tuple[str, ...]) -> None:
    assert shown(*options) == {"PID": "7", "COMMAND": "sh"}


def test_columns_may_have_other_headings() -> None:
    assert shown("-o", "pid=NUMBER", "-o", "ni,rss=Kilobytes") == {
        "NUMBER": "7",
        "NI": "0",
        "Kilobytes": "51200",
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-o", "pid,wchan"), "wchan"),
        (("-x9",), "-x9"),
        (("--forest",), "--forest"),
        (("-o",), "-o"),
    ],
)
def test_what_ps_has_besides_is_refused_by_name(options: tuple[str, ...], named: str) -> None:
    with pytest.raises(Invalid) as caught:
        chosen(options)

    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "column", "text"),
    [
        ({"args": [], "name": "kworker"}, "args", "[kworker]"),
        ({"args": [], "name": "gone", "state": "Z"}, "cmd", "[gone] <defunct>"),
        ({"args": ["a\nb", "\x1b[31m"]}, "cmd", "a?b ?[31m"),
        ({"cpu_s": 90_061.0}, "time", "1-01:01:01"),
        ({"cpu_s": 90_061.0}, "bsdtime", "1501:01"),
        ({"started_at": NOW - 90}, "etime", "01:30"),
        ({"started_at": NOW - 3_700}, "etime", "01:01:40"),
        ({"started_at": NOW - 90_061}, "etime", "1-01:01:01"),
        ({"started_at": NOW - 90_061}, "stime", "Jan14"),
        ({"started_at": NOW - 40_000_000}, "stime", "2025"),
        ({"started_at": NOW + 5}, "pcpu", "0.0"),
        ({"started_at": NOW - 1, "cpu_s": 3.0}, "c", "99"),
        ({"nice": -5, "threads": 3, "sid": 7, "state": "R"}, "stat", "R<sl"),
        ({"nice": 5}, "stat", "SN"),
        ({"user": "", "uid": 1234}, "user", "1234"),
        ({"uid": 33, "user": "www"}, "uid", "33"),
    ],
)
def test_cells_are_written_as_ps_writes_them(
    fields: dict[str, Any], column: str, text: str
) -> None:
    assert list(shown("-o", column, **fields).values()) == [text]


def test_processes_come_in_the_order_of_their_pids() -> None:
    rows = table([process(9), process(3)], chosen(["-o", "pid"]), MOMENT)

    assert rows == [["PID"], ["3"], ["9"]]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_has_a_cell_for_the_emptiest_process(name: str) -> None:
    assert COLUMNS[name].render(pb.Process(), Moment(now=0.0, memory_bytes=0)) is not None
