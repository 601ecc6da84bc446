"""Which networks a task is in, and in which order."""

from manager.networks.attaching import networks_of
from swarm.ids import NetworkId
from swarm.specs import HOST, NetworkAttachment, Port, PublishMode, TaskSpec
from tests.networks import attached

INGRESS = NetworkId("i")
PUBLISHED = (Port(target=80, published=8080),)


def test_what_publishes_everywhere_is_in_the_ingress_network_first() -> None:
    found = networks_of(TaskSpec(networks=attached("back", "front")), PUBLISHED, INGRESS)

    assert list(found) == ["i", "back", "front"]


def test_ports_of_single_nodes_do_not_call_for_the_ingress_network() -> None:
    own = (Port(target=80, published=8080, mode=PublishMode.HOST),)

    assert not networks_of(TaskSpec(), own, INGRESS)
    assert not networks_of(TaskSpec(networks=attached(HOST)), PUBLISHED, INGRESS)
    assert not networks_of(TaskSpec(), PUBLISHED, None)


def test_networks_that_every_node_has_need_no_attachment() -> None:
    assert not networks_of(TaskSpec(networks=attached("bridge")), (), INGRESS)
    assert not networks_of(TaskSpec(networks=attached("none")), (), INGRESS)


def test_aliases_stay_with_their_network() -> None:
    task = TaskSpec(networks=(NetworkAttachment(target="back", aliases=("db", "sql", "db")),))

    assert networks_of(task, (), INGRESS) == {"back": ("db", "sql")}
