"""Which networks a container is in."""

import pytest

from agent.assignments import Wanted
from agent.attachments import addressed, amended, connection, is_bridged, is_connected
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Attachment, Task
from swarm.specs import ContainerSpec, Port, PublishMode, TaskSpec
from tests.networks import attached

NET = Attachment(network_id=NetworkId("n1"), addresses=("10.0.1.5",))


def wanted(
    *targets: str, attachments: tuple[Attachment, ...] = (), ports: tuple[Port, ...] = ()
) -> Wanted:
    task = Task(id=TaskId("t1"), service_id=ServiceId("s1"), attachments=attachments)
    spec = TaskSpec(container=ContainerSpec(dns_servers=("9.9.9.9",)), networks=attached(*targets))
    return Wanted(task=task, spec=spec, revision=1, ports=ports)


@pytest.mark.parametrize(
    ("found", "connected", "bridged"),
    [
        (wanted(), True, True),
        (wanted("bridge"), True, True),
        (wanted("host"), False, False),
        (wanted("none"), False, False),
        (wanted("n1", attachments=(NET,)), True, False),
        (wanted(attachments=(NET,)), True, False),
        (wanted("n1", "bridge", attachments=(NET,)), True, True),
    ],
)
def test_who_asks_for_nothing_is_in_the_bridge(
    found: Wanted, connected: bool, bridged: bool
) -> None:
    assert (is_connected(found), is_bridged(found)) == (connected, bridged)


def test_a_connection_has_the_ports_of_the_node_only() -> None:
    everywhere = Port(target=80, published=80)
    here = Port(target=81, mode=PublishMode.HOST)

    found = connection(wanted(attachments=(NET,), ports=(everywhere, here)), (NET,), "web")

    assert found.attachments == (NET,)
    assert found.ports == (here,)
    assert (found.asker.networks, found.asker.hostname) == (("n1",), "web")
    assert found.asker.servers == ("9.9.9.9",)


def test_a_container_keeps_its_interfaces_in_place_and_new_ones_come_last() -> None:
    bridge = Attachment(network_id=NetworkId("bridge"), addresses=("172.17.0.2",))
    more = Attachment(network_id=NetworkId("n2"), addresses=("10.0.2.5",))
    known = connection(wanted(), (bridge,), "web")

    both = amended(known, wanted(attachments=(NET, more)))
    one = amended(both, wanted(attachments=(more,)))

    assert [each.network_id for each in both.attachments] == ["bridge", "n1", "n2"]
    assert both.asker.networks == ("bridge", "n1", "n2")
    assert one.attachments == (bridge, more)
    assert one.asker.hostname == "web"


def test_an_attachment_without_addresses_is_none_yet() -> None:
    waiting = wanted(attachments=(NET, Attachment(network_id=NetworkId("n2"))))

    assert addressed(waiting) == (NET,)
    assert amended(connection(wanted(), (NET,), "web"), waiting).attachments == (NET,)
