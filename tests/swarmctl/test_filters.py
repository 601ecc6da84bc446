"""Filters of one key are alternatives, different keys must all hold."""

import pytest

from swarm.api.v1 import objects_pb2
from swarm.errors import Invalid
from swarmctl.filters import (
    EVENT_TESTS,
    IMAGE_TESTS,
    NODE_TESTS,
    TASK_TESTS,
    has_label,
    parse_filters,
    selected,
)
from tests.swarmctl.answers import image, node, task

NODES = [
    node("abc", hostname="alpha", labels={"zone": "east"}),
    node("abd", hostname="beta", role=1, labels={"zone": "west"}),
]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], ["alpha", "beta"]),
        (["name=al"], ["alpha"]),
        (["name=al", "name=be"], ["alpha", "beta"]),
        (["name=al", "role=manager"], []),
        (["role=manager"], ["beta"]),
        (["membership=accepted"], ["alpha", "beta"]),
        (["membership=pending"], []),
        (["node.label=zone=east"], ["alpha"]),
        (["node.label=zone"], ["alpha", "beta"]),
        (["label=disk=ssd", "id=abd"], ["beta"]),
        (["availability=drain"], []),
    ],
)
def test_nodes_are_selected(filters: list[str], names: list[str]) -> None:
    found = selected(NODES, filters, NODE_TESTS)

    assert [view.node.description.hostname for view in found] == names


def test_tasks_are_selected_by_node_name_and_wanted_state() -> None:
    views = [
        task("t1", slot=1, hostname="alpha", node_id="n1"),
        task("t2", slot=2, hostname="beta", node_id="n2", desired=objects_pb2.TASK_STATE_SHUTDOWN),
    ]

    def ids(*filters: str) -> list[str]:
        return [view.task.id for view in selected(views, filters, TASK_TESTS)]

    assert ids("node=beta") == ids("node=n2") == ids("name=web.2") == ["t2"]
    assert ids("desired-state=running") == ids("id=t1") == ["t1"]


def test_images_are_selected_by_pattern() -> None:
    images = [image("1", "docker.io/library/busybox:1"), image("2", "a/b:2"), image("3")]

    def ids(*filters: str) -> list[str]:
        return [each.id[-1] for each in selected(images, filters, IMAGE_TESTS)]

    assert ids("reference=busybox") == ids("reference=busy*:1") == ["1"]
    assert ids("dangling=true") == ["3"]
    assert ids("dangling=false", "reference=a/*") == ["2"]


def test_events_are_selected_by_what_they_are_about() -> None:
    events = [
        objects_pb2.Event(kind="service", action="create", id="s1", name="web"),
        objects_pb2.Event(
            kind="task", action="running", id="t1", name="web.1", attributes={"node_id": "n2"}
        ),
        objects_pb2.Event(kind="node", action="down", id="n1", name="alpha"),
        objects_pb2.Event(kind="network", action="connect", id="b1", name="back"),
    ]

    def kinds(*filters: str) -> list[str]:
        return [each.kind for each in selected(events, filters, EVENT_TESTS)]

    assert kinds("network=back") == ["network"]
    assert kinds("service=web") == ["service", "task"]
    assert kinds("type=node", "type=task") == ["task", "node"]
    assert kinds("node=n2") == kinds("task=t1") == ["task"]
    assert kinds("node=alpha") == kinds("event=down") == ["node"]


@pytest.mark.parametrize(
    ("text", "words"), [("name", "KEY=VALUE"), ("nmae=x", "unknown key 'nmae'")]
)
def test_a_filter_that_would_select_everything_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse_filters([text], known=("name", "id"))

    assert caught.value.hint


def test_a_label_is_asked_for_with_or_without_its_value() -> None:
    labels = {"a": "1", "b": ""}

    assert has_label(labels, "a")
    assert has_label(labels, "a=1")
    assert has_label(labels, "b=")
    assert not has_label(labels, "a=2")
    assert not has_label(labels, "c")


@pytest.mark.parametrize(
    ("text", "said"), [("desired-state=runing", "running"), ("mode=jobs", "replicated-job")]
)
def test_a_word_that_no_value_is_does_not_select_nothing(text: str, said: str) -> None:
    with pytest.raises(Invalid, match="is never") as refused:
        parse_filters([text], known=[text.partition("=")[0]])

    assert said in refused.value.hint
