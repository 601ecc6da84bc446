import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager import layout
from manager.decoding import read_key, read_value
from swarm.codec import pack
from swarm.errors import Invalid
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Cluster, Login, Observation, SpecVersion
from swarm.specs import TaskSpec


@pytest.mark.parametrize(
    ("key", "kind", "path"),
    [
        (layout.CLUSTER, layout.CLUSTER, ()),
        (layout.node_key(NodeId("a")), layout.NODES, ("a",)),
        (layout.task_key(ServiceId("s"), TaskId("t")), layout.TASKS, ("s", "t")),
        (layout.observed_key(NodeId("a"), TaskId("t")), layout.OBSERVED, ("a", "t")),
        (layout.version_key(ServiceId("s"), 3), layout.VERSIONS, ("s", "0000000003")),
        (layout.name_key("service", "a/b"), layout.NAMES, ("service", "a/b")),
        (layout.manager_key(NodeId("m")), layout.MANAGERS, ("m",)),
        (layout.login_key(ServiceId("s")), layout.LOGINS, ("s",)),
    ],
)
def test_a_key_says_what_it_is_about(key: str, kind: str, path: tuple[str, ...]) -> None:
    found = read_key(key)

    assert found is not None
    assert (found.kind, found.path) == (kind, path)


@pytest.mark.parametrize("key", [layout.LEADER, "widgets/x", "tasks/s", "tasks//t", "nodes/", ""])
def test_keys_that_are_not_ours_are_passed_over(key: str) -> None:
    assert read_key(key) is None


@given(st.text())
def test_law_any_key_is_known_or_passed_over(key: str) -> None:
    found = read_key(key)

    assert found is None or key == found.kind + "/".join(found.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("observed/a/t", Observation(task_id=TaskId("t"), pid=4)),
        (
            "versions/s/0000000002",
            SpecVersion(service_id=ServiceId("s"), version=2, task=TaskSpec()),
        ),
        ("cluster", Cluster(id="c")),
        ("logins/s", Login(service_id=ServiceId("s"), version=2)),
    ],
)
def test_a_value_is_read_as_its_key_promises(key: str, value: object) -> None:
    found = read_key(key)
    assert found is not None

    assert read_value(found, pack(value)) == value


def test_a_value_of_another_kind_is_invalid() -> None:
    found = read_key("nodes/a")
    assert found is not None

    with pytest.raises(Invalid, match="not a Node message"):
        read_value(found, b"\xff\xff\xff")
