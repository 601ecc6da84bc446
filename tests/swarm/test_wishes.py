import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm import wishes
from swarm.errors import Invalid
from swarm.specs import (
    Affinity,
    GenericResource,
    Platform,
    Taint,
    TaintEffect,
    Toleration,
)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("service==db", Affinity(service="db")),
        ("service!=web", Affinity(service="web", anti=True)),
        ("Service != web , SOFT", Affinity(service="web", anti=True, required=False)),
        (
            "service==db,topology=Node.Labels.Rack,soft",
            Affinity(service="db", topology="node.labels.Rack", required=False),
        ),
        ("service!=web,topology=node.id", Affinity(service="web", anti=True)),
    ],
)
def test_affinities_are_read(text: str, wish: Affinity) -> None:
    assert wishes.parse_affinity(text) == wish
    assert wishes.parse_affinity(wishes.print_affinity(wish)) == wish


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("db", "does not begin with service"),
        ("service=db", "does not begin with service"),
        ("service==", "'' is not the name of a service"),
        ("service==a b", "'a b' is not the name"),
        ("service==db,hard", "has no place for 'hard'"),
        ("service==db,soft=1", "has no place for 'soft=1'"),
        ("service==db,topology=rack", "nodes have no attribute 'rack'"),
        ("service==db,topology=node.labels.", "label name '' is malformed"),
        ("service==db,topology=node.id,topology=node.role", "has no place"),
    ],
)
def test_what_is_no_affinity_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint) as caught:
        wishes.parse_affinity(text)
    assert caught.value.hint


def test_preferences_name_an_attribute() -> None:
    assert wishes.parse_preference("spread=node.labels.Zone") == "node.labels.Zone"
    assert wishes.parse_preference("SPREAD = Node.Hostname") == "node.hostname"
    assert wishes.print_preference("node.labels.zone") == "spread=node.labels.zone"
    for text in ("node.labels.zone", "spread", "spread=", "pack=node.id", "spread=zone"):
        with pytest.raises(Invalid) as caught:
            wishes.parse_preference(text)
        assert repr(text) in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "taint"),
    [
        ("gpu:no-schedule", Taint(key="gpu")),
        ("a.b/c=d:NO-EXECUTE", Taint(key="a.b/c", value="d", effect=TaintEffect.NO_EXECUTE)),
        ("x:prefer-no-schedule", Taint(key="x", effect=TaintEffect.PREFER_NO_SCHEDULE)),
    ],
)
def test_taints_are_read(text: str, taint: Taint) -> None:
    assert wishes.parse_taint(text) == taint
    assert wishes.parse_taint(wishes.print_taint(taint)) == taint


@pytest.mark.parametrize("text", ["gpu", "gpu=1", ":no-schedule", "gpu:never", "g u:no-execute"])
def test_what_is_no_taint_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="taint") as caught:
        wishes.parse_taint(text)
    assert "no-execute" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "toleration"),
    [
        ("gpu", Toleration(key="gpu", any_value=True)),
        ("gpu=", Toleration(key="gpu")),
        ("team=red", Toleration(key="team", value="red")),
        (
            "team=red:no-execute",
            Toleration(key="team", value="red", effects=(TaintEffect.NO_EXECUTE,)),
        ),
        (":no-schedule", Toleration(any_value=True, effects=(TaintEffect.NO_SCHEDULE,))),
        ("*", Toleration(any_value=True)),
    ],
)
def test_tolerations_are_read(text: str, toleration: Toleration) -> None:
    assert wishes.parse_toleration(text) == toleration
    assert wishes.parse_toleration(wishes.print_toleration(toleration)) == toleration


@pytest.mark.parametrize("text", ["", ":", "=red", "gpu:", "gpu:sometimes", "**"])
def test_what_is_no_toleration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="toleration"):
        wishes.parse_toleration(text)


@pytest.mark.parametrize(
    ("toleration", "taint", "borne"),
    [
        ("gpu", "gpu:no-schedule", True),
        ("gpu", "gpu=a:no-execute", True),
        ("gpu", "cpu:no-schedule", False),
        ("gpu=a", "gpu=b:no-schedule", False),
        ("gpu=", "gpu=b:no-schedule", False),
        ("gpu=", "gpu:no-schedule", True),
        ("gpu:no-execute", "gpu:no-schedule", False),
        (":no-execute", "anything=x:no-execute", True),
        ("*", "anything=x:no-execute", True),
    ],
)
def test_a_toleration_bears_what_it_names(toleration: str, taint: str, borne: bool) -> None:
    found = wishes.bears((wishes.parse_toleration(toleration),), wishes.parse_taint(taint))

    assert found is borne


def test_only_taints_of_the_asked_effects_count() -> None:
    taints = (Taint(key="a"), Taint(key="b", effect=TaintEffect.NO_EXECUTE))

    assert wishes.unborne((), taints, TaintEffect.NO_EXECUTE) == taints[1:]
    assert wishes.unborne((wishes.parse_toleration("b"),), taints, TaintEffect.NO_EXECUTE) == ()


def test_reservations_are_counts() -> None:
    assert wishes.parse_reservation("gpu=2") == GenericResource(kind="gpu", count=2)
    assert wishes.print_reservation(GenericResource(kind="gpu", count=2)) == "gpu=2"
    for text in ("gpu", "gpu=", "gpu=0", "gpu=-1", "gpu=UUID1", "=2", "g pu=1", "gpu=99999999999"):
        with pytest.raises(Invalid) as caught:
            wishes.parse_reservation(text)
        assert "gpu=2" in caught.value.hint


def test_nodes_have_counts_or_names() -> None:
    texts = ("gpu=UUID1", "ssd=4", "gpu=UUID2", "fpga=/dev/fpga0")

    have = wishes.parse_node_generics(texts)

    assert have == (
        GenericResource(kind="fpga", names=("/dev/fpga0",)),
        GenericResource(kind="gpu", names=("UUID1", "UUID2")),
        GenericResource(kind="ssd", count=4),
    )
    assert sorted(wishes.print_node_generics(have)) == sorted(texts)
    assert wishes.parse_node_generics(wishes.print_node_generics(have)) == have


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (("gpu=1", "gpu=a"), "both a count and names"),
        (("gpu=1", "gpu=1"), "counted 1 and 1"),
        (("gpu=a", "gpu=a"), "has a twice"),
        (("gpu",), "not how many"),
        (("gpu=a b",), "unusual characters"),
    ],
)
def test_what_nodes_cannot_have_is_refused(texts: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        wishes.parse_node_generics(texts)


def test_platforms_compare_by_any_spelling() -> None:
    wish = wishes.parse_platform("Linux/AMD64")

    assert wish == Platform(os="linux", arch="amd64")
    assert wishes.print_platform(wish) == "linux/amd64"
    assert wishes.same_platform(wish, os="linux", arch="x86_64")
    assert not wishes.same_platform(wish, os="linux", arch="aarch64")
    assert not wishes.same_platform(wish, os="windows", arch="x86_64")
    assert wishes.same_platform(Platform(), os="plan9", arch="mips")
    assert wishes.parse_platform("linux/arm64/v8") == Platform(os="linux", arch="arm64")
    for text in ("linux", "linux/", "/amd64", "linux/a b", "a/b/c/d"):
        with pytest.raises(Invalid):
            wishes.parse_platform(text)


@given(st.text(max_size=20))
def test_law_what_a_reader_takes_it_also_takes_as_printed(text: str) -> None:
    for parse, show in (
        (wishes.parse_affinity, wishes.print_affinity),
        (wishes.parse_taint, wishes.print_taint),
        (wishes.parse_toleration, wishes.print_toleration),
        (wishes.parse_reservation, wishes.print_reservation),
        (wishes.parse_platform, wishes.print_platform),
    ):
        try:
            wish = parse(text)
        except Invalid:
            continue
        assert parse(show(wish)) == wish
