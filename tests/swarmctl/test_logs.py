"""Each line carries the name of who wrote it."""

import pytest

from swarm.api.v1 import control_pb2
from swarmctl.logs import Printer, Style

LINE = control_pb2.LogLine(
    task_id="t" * 25,
    node_id="n" * 25,
    at=1_700_000_000.25,
    data=b"hello \xff\n",
    service_name="web",
    slot=3,
)
HOSTS = {"n" * 25: "alpha"}


@pytest.mark.parametrize(
    ("style", "hosts", "text"),
    [
        (Style(), HOSTS, b"web.3.tttttttttttt@alpha    | hello \xff\n"),
        (Style(task_ids=False), HOSTS, b"web.3@alpha    | hello \xff\n"),
        (Style(raw=True), HOSTS, b"hello \xff\n"),
        (Style(full=True, task_ids=False), {}, b"web.3@" + b"n" * 25 + b"    | hello \xff\n"),
        (
            Style(timestamps=True, raw=True),
            HOSTS,
            b"2023-11-14T22:13:20.250000000Z hello \xff\n",
        ),
        (
            Style(details=True, raw=True),
            HOSTS,
            b"node.id=" + b"n" * 25 + b",task.id=" + b"t" * 25 + b",stream=stdout hello \xff\n",
        ),
    ],
)
def test_a_line_is_printed_in_its_style(style: Style, hosts: dict[str, str], text: bytes) -> None:
    assert Printer(style, hostnames=hosts).line(LINE) == text


def test_names_grow_into_a_column() -> None:
    printer = Printer(Style(task_ids=False), hostnames={})
    short = control_pb2.LogLine(service_name="a", slot=1, node_id="n", data=b"1")
    long = control_pb2.LogLine(service_name="a", slot=1000, node_id="n", data=b"2")

    lines = [printer.line(each) for each in (short, long, short)]

    assert lines == [b"a.1@n    | 1\n", b"a.1000@n    | 2\n", b"a.1@n       | 1\n"]


def test_a_line_of_a_global_service_names_its_node() -> None:
    line = control_pb2.LogLine(service_name="web", task_id="t1", node_id="n1", data=b"x")

    assert Printer(Style(), hostnames={}).line(line) == b"web.n1.t1@n1    | x\n"
