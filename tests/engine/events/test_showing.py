"""Events as clients read and choose them."""

import pytest

from engine.events.showing import LOCAL, SWARM, Choice, of_swarm, write_event
from swarm.api.v1.objects_pb2 import Event
from swarm.errors import Invalid

START = Event(
    at=1_700_000_000.5, kind="container", action="start", id="c1", name="web",
    attributes={"image": "busybox:latest", "name": "web", "a": "b"},
)  # fmt: skip


def test_a_container_is_told_of_by_old_names_too() -> None:
    assert write_event(START, scope=LOCAL) == {
        "status": "start",
        "id": "c1",
        "from": "busybox:latest",
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "c1", "Attributes": {"image": "busybox:latest", "name": "web", "a": "b"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_500_000_000,
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True), ({"container": ("web",)}, True), ({"container": ("c1", "x")}, True),
        ({"container": ("x",)}, False), ({"network": ("web",)}, False),
        ({"type": ("image",)}, False),
        ({"type": ("container",), "event": ("start",)}, True), ({"event": ("stop",)}, False),
        ({"image": ("busybox",)}, True), ({"image": ("busybox:latest",)}, True),
        ({"image": ("alpine",)}, False), ({"label": ("a=b",)}, True), ({"label": ("a=c",)}, False),
        ({"scope": ("swarm",)}, False), ({"scope": ("local",)}, True),
    ],
)  # fmt: skip
def test_filters_choose_events(filters: dict[str, tuple[str, ...]], expected: bool) -> None:
    assert Choice(filters).has(START, scope=LOCAL) is expected


def test_long_actions_are_chosen_by_their_beginning() -> None:
    health = Event(kind="container", action="health_status: healthy", id="c1")

    assert Choice({"event": ("health_status",)}).has(health, scope=LOCAL)
    assert not Choice({"event": ("health",)}).has(health, scope=LOCAL)


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(Invalid, match="invalid filter 'x'"):
        Choice({"x": ("y",)})


def test_of_the_swarm_is_told_what_docker_has_words_for() -> None:
    assert of_swarm(Event(kind="task", action="running")) is None
    node = of_swarm(Event(kind="node", action="down", id="n1", name="host1"))
    assert node is not None
    assert (node.action, node.attributes["state.new"]) == ("update", "down")
    joined = of_swarm(Event(kind="node", action="join", id="n1", name="host1"))
    assert joined is not None
    assert joined.action == "create"
    service = Event(kind="service", action="create", id="s1", name="web")
    found = of_swarm(service)
    assert found is not None
    assert write_event(found, scope=SWARM)["Actor"]["Attributes"] == {"name": "web"}
