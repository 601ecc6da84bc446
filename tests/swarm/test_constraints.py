import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarm.constraints import OWN_IDS, constraints_of, parse, parse_stored, spread_over
from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.objects import Node, NodeDescription
from swarm.specs import ContainerSpec, NodeSpec, Placement, Role, TaskSpec
from tests.networks import attached

NODE = Node(
    id=NodeId("Abc123"),
    spec=NodeSpec(role=Role.MANAGER, labels={"Zone": "East", "disk": "ssd"}),
    description=NodeDescription(
        hostname="Alpha",
        os="linux",
        arch="x86_64",
        engine_labels={"kernel": "6.18"},
        security_options=("name=seccomp,profile=builtin", "name=userns,uids=1:65536"),
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "node.id==abc123",
        "node.hostname == alpha",
        "node.hostname==ALPHA",
        "NODE.Role==Manager",
        "node.role!=worker",
        "node.platform.os==Linux",
        "node.platform.arch==amd64",
        "node.labels.Zone==east",
        "node.labels.disk!=hdd",
        "engine.labels.kernel==6.18",
        "node.userns==Remapped",
        "node.userns!=host",
    ],
)
def test_a_constraint_admits_the_node_it_describes(text: str) -> None:
    assert parse(text).admits(NODE)


@pytest.mark.parametrize(
    "text",
    [
        "node.id!=abc123",
        "node.role==worker",
        "node.platform.arch==arm64",
        "node.labels.disk==s*",
        "node.userns==host",
    ],
)
def test_a_constraint_refuses_other_nodes(text: str) -> None:
    assert not parse(text).admits(NODE)


def test_names_of_labels_are_exact() -> None:
    assert not parse("node.labels.zone==east").admits(NODE)


def test_a_label_that_is_not_there_differs_from_every_value() -> None:
    assert parse("node.labels.gpu!=yes").admits(NODE)
    assert not parse("node.labels.gpu==yes").admits(NODE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("node.role=manager", "neither == nor !="),
        ("node.role==boss", "no role 'boss'"),
        ("node.userns==both", "'both' is neither"),
        ("node.color==red", "no attribute 'node.color'"),
        ("==red", "no attribute ''"),
        ("node.labels.==x", "label name '' is malformed"),
        ("node.id==", "the value is empty"),
        ("node.id==a;b", "unusual characters"),
    ],
)
def test_a_malformed_constraint_says_what_is_wrong_and_how_to_write_it(
    text: str, problem: str
) -> None:
    with pytest.raises(Invalid, match=problem) as caught:
        parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("spec", "implied"),
    [
        (TaskSpec(), False),
        (TaskSpec(networks=attached("none")), False),
        (TaskSpec(networks=attached("host")), True),
        (TaskSpec(container=ContainerSpec(privileged=True)), True),
        (TaskSpec(container=ContainerSpec(privileged=True, host_user_namespace=True)), False),
    ],
)
def test_some_wishes_of_a_task_are_constraints(spec: TaskSpec, implied: bool) -> None:
    written = replace(spec, placement=Placement(constraints=("node.role==worker",)))

    found = constraints_of(written)

    assert found[0] == parse("node.role==worker")
    assert (OWN_IDS in found) == implied


def test_a_stored_constraint_that_cannot_be_read_admits_no_node() -> None:
    readable, broken = parse_stored(("node.role==manager", "node.color==red"))

    assert readable.admits(NODE)
    assert not broken.admits(NODE)


@given(
    st.sampled_from(["node.id", "node.hostname", "node.labels.Zone", "engine.labels.a-b"]),
    st.sampled_from(["==", "!="]),
    st.text("abcXYZ019.-_", min_size=1),
)
def test_law_what_is_written_is_read_back(attribute: str, operator: str, value: str) -> None:
    once = parse(f"{attribute}{operator}{value}")
    assert parse(str(once)) == once


@given(st.text())
def test_law_any_text_is_a_constraint_or_invalid(text: str) -> None:
    try:
        parse(text)
    except Invalid:
        return
    assert "==" in text or "!=" in text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Node.Role", "node.role"),
        ("node.labels.Zone", "node.labels.Zone"),
        ("zone", "node.labels.zone"),
        ("com.example.zone", "node.labels.com.example.zone"),
    ],
)
def test_tasks_are_spread_over_attributes_and_labels(written: str, meant: str) -> None:
    assert spread_over(written) == meant


@pytest.mark.parametrize("written", ["node.lables.zone", "engine.zone", "a b", ""])
def test_nothing_is_spread_over_what_no_node_can_have(written: str) -> None:
    with pytest.raises(Invalid):
        spread_over(written)
