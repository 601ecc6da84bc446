"""Events are printed for people, for programs, and through templates."""

import json

from swarm.api.v1 import objects_pb2
from swarmctl.happenings import event_line

EVENT = objects_pb2.Event(
    at=1_700_000_000.5,
    kind="service",
    action="update",
    id="s1",
    name="web",
    attributes={"replicas": "3", "empty": ""},
)


def test_people_read_one_line() -> None:
    line = event_line(EVENT)

    assert line.startswith("2023-11-14T22:13:20.500000000Z service update s1 (name=web, ")
    assert "replicas=3" in line
    assert "empty" not in line


def test_an_event_without_attributes_has_no_parentheses() -> None:
    assert event_line(objects_pb2.Event(kind="node", action="down", id="n1")).endswith("down n1")


def test_programs_read_json() -> None:
    assert json.loads(event_line(EVENT, form="json")) == {
        "Type": "service",
        "Action": "update",
        "Actor": {"ID": "s1", "Attributes": {"name": "web", "replicas": "3", "empty": ""}},
        "scope": "swarm",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_500_000_000,
    }


def test_a_template_picks() -> None:
    assert event_line(EVENT, form="{{.Type}}/{{.Actor.ID}}") == "service/s1"
