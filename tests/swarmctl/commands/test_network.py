"""`network` makes networks, shows who is in them, and probes them."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import (
    containers_pb2,
    control_pb2,
    localnetworks_pb2,
    objects_pb2,
    specs_pb2,
)
from swarm.codec import from_message
from swarm.errors import Invalid, Refused
from swarm.specs import NetworkDriver, NetworkSpec, Subnet
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

BACK = "b" * 25
INGRESS = "i" * 25


@pytest.fixture(autouse=True)
def kept(swarm: FakeSwarm) -> None:
    """The network back with a service in it, and the ingress network."""
    back = objects_pb2.Network(
        id=BACK,
        spec=specs_pb2.NetworkSpec(
            name="back", labels={"team": "red"}, attachable=True, encrypted=True, mtu=1400
        ),
        vni=4098,
        subnets=[specs_pb2.Subnet(subnet="10.0.1.0/24", gateway="10.0.1.1")],
        created_at=1e9,
    )
    ingress = objects_pb2.Network(
        id=INGRESS, spec=specs_pb2.NetworkSpec(name="ingress", ingress=True), vni=4097
    )
    swarm.networks = [
        control_pb2.NetworkView(network=ingress),
        control_pb2.NetworkView(network=back, services=["web"], tasks=2),
    ]
    tasks = [
        control_pb2.NetworkTask(
            task_id="t1",
            name="web.1.t1",
            node_id="n1",
            node_hostname="alpha",
            addresses=["10.0.1.3"],
            is_serving=True,
            state=objects_pb2.TASK_STATE_RUNNING,
        ),
        control_pb2.NetworkTask(
            task_id="t2",
            name="web.2.t2",
            node_id="n1",
            node_hostname="alpha",
            addresses=["10.0.1.4"],
            state=objects_pb2.TASK_STATE_STARTING,
            why_not="starting",
        ),
    ]
    web = control_pb2.NetworkService(
        service_id="s1",
        name="web",
        virtual_addresses=["10.0.1.2"],
        ports=[specs_pb2.Port(target=80, published=8080)],
        tasks=tasks,
    )
    peer = control_pb2.NetworkPeer(
        node_id="n1", hostname="alpha", number=1, address="192.168.0.1", tasks=2,
        state=objects_pb2.NODE_STATE_READY,
    )  # fmt: skip
    swarm.members["back"] = control_pb2.InspectNetworkResponse(
        services=[web], peers=[peer], capacity="10.0.1.0/24: 3 of 253 addresses taken"
    )


def test_a_network_is_made_of_its_flags_and_its_id_printed(swarm: FakeSwarm, socket: Path) -> None:
    flags = (
        "--subnet 10.0.9.0/24 --subnet fd00:9::/64 --gateway fd00:9::1 --gateway 10.0.9.1 "
        "--ip-range 10.0.9.128/25 --aux-address router=10.0.9.2 --ipv6 --internal --attachable "
        "--label a=b -o encrypted --opt com.docker.network.driver.mtu=1300 --scope swarm"
    )

    ran = run(socket, "network", "create", *flags.split(), "front")

    [request] = swarm.asked(control_pb2.CreateNetworkRequest)
    assert ran.out == f"{3:025}\n"
    assert from_message(NetworkSpec, request.spec) == NetworkSpec(
        name="front",
        labels={"a": "b"},
        subnets=(
            Subnet(
                subnet="10.0.9.0/24",
                gateway="10.0.9.1",
                ip_range="10.0.9.128/25",
                aux_addresses={"router": "10.0.9.2"},
            ),
            Subnet(subnet="fd00:9::/64", gateway="fd00:9::1"),
        ),
        ipv6=True,
        internal=True,
        attachable=True,
        encrypted=True,
        mtu=1300,
    )


def test_a_bridge_is_asked_for_by_its_driver(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "network", "create", "-d", "bridge", "front")

    assert from_message(NetworkSpec, swarm.requests[-1].spec).driver is NetworkDriver.BRIDGE


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-d", "macvlan"], "--driver macvlan: there is no such driver"),
        (["--ipam-driver", "x"], "--ipam-driver x: the swarm gives addresses itself"),
        (["--gateway", "10.0.0.1"], "--gateway 10.0.0.1: needs a subnet"),
        (["--aux-address", "a=10.0.0.1"], "--aux-address a=10.0.0.1: needs a subnet"),
        (["--aux-address", "10.0.0.1"], "is not KEY=VALUE"),
        (["--subnet", "10.0.0.5/24"], "--subnet: 10.0.0.5/24 has bits set"),
        (["--subnet", "10.0.0.0/24", "--ip-range", "x"], "--ip-range: 'x' is not a range"),
        (
            ["--subnet", "10.0.0.0/24", "--gateway", "10.0.0.1", "--gateway", "10.0.0.2"],
            "are both in 10.0.0.0/24",
        ),
        (["--subnet", "10.0.0.0/24", "--gateway", "10.1.0.1"], "--gateway: 10.1.0.1 is not in"),
        (
            ["--subnet", "10.0.0.0/24", "--aux-address", "a=10.0.0.0"],
            "--aux-address a: 10.0.0.0 is the address of the subnet",
        ),
        (["--subnet", "fd00::/64"], "--subnet: fd00::/64 is of IPv6"),
        (["--opt", "mtu=9"], "--opt mtu: 9 is not in"),
        (["--opt", "mtu=x"], "--opt mtu: "),
        (["--opt", "mtu=1279", "--ipv6"], "--opt mtu: 1279 is less than the 1280 that IPv6 needs"),
        (["--opt", "encrypted=perhaps"], "--opt encrypted=perhaps is neither"),
        (["--opt", "vlan=1"], "--opt vlan: there is no option 'vlan'"),
        (["--ingress", "--attachable"], "--attachable: the ingress network"),
    ],
)
def test_what_makes_no_sense_is_refused_by_flag_and_not_sent(
    swarm: FakeSwarm, socket: Path, words: list[str], complaint: str
) -> None:
    ran = run(socket, "network", "create", *words, "front")

    assert (ran.status, ran.out) == (1, "")
    assert complaint in ran.err
    assert swarm.requests == []


@pytest.mark.parametrize("kind", [Invalid, Refused])
def test_a_refusal_by_the_manager_names_the_flag(
    swarm: FakeSwarm, socket: Path, kind: type[Invalid] | type[Refused]
) -> None:
    problem = "subnets[0].subnet: 10.0.1.0/24 overlaps network back (10.0.1.0/24)"
    swarm.refuse("CreateNetwork", kind(problem, hint="give another"))

    ran = run(socket, "network", "create", "--subnet", "10.0.1.0/24", "front")

    assert "--subnet: 10.0.1.0/24 overlaps network back" in ran.err
    assert "give another" in ran.err


def test_the_list_has_dockers_columns_and_every_nodes_own_networks(socket: Path) -> None:
    ran = run(socket, "network", "ls")

    lines = [line.split() for line in ran.out.splitlines()]
    assert lines == [
        ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"],
        ["b" * 12, "back", "overlay", "swarm"],
        ["bridge", "bridge", "bridge", "local"],
        ["host", "host", "host", "local"],
        ["i" * 12, "ingress", "overlay", "swarm"],
        ["none", "none", "null", "local"],
    ]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["driver=overlay"], "back ingress"),
        (["driver=null"], "none"),
        (["scope=local"], "bridge host none"),
        (["type=custom"], "back ingress"),
        (["type=builtin"], "bridge host none"),
        (["name=ack"], "back"),
        ([f"id={BACK[:5]}"], "back"),
        (["label=team=red"], "back"),
        (["dangling=true"], ""),
        (["name=back", "driver=bridge"], ""),
    ],
)
def test_filters_select(socket: Path, words: list[str], names: str) -> None:
    filters = [each for word in words for each in ("-f", word)]

    ran = run(socket, "network", "ls", *filters, "--format", "{{.Name}}")

    assert ran.out.split() == names.split()


def test_ids_are_printed_alone_and_in_full(socket: Path) -> None:
    ran = run(socket, "network", "ls", "-q", "--no-trunc", "-f", "name=back")

    assert ran.out == f"{BACK}\n"


def test_an_unknown_filter_is_refused(socket: Path) -> None:
    assert "unknown key 'owner'" in run(socket, "network", "ls", "-f", "owner=x").err
    assert "scope is never 'world'" in run(socket, "network", "ls", "-f", "scope=world").err


def test_inspect_shows_a_network_as_docker_does(socket: Path) -> None:
    [found] = json.loads(run(socket, "network", "inspect", "back").out)

    assert (found["Name"], found["Id"], found["Scope"]) == ("back", BACK, "swarm")
    assert found["IPAM"]["Config"] == [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]
    assert found["Options"] == {
        "com.docker.network.driver.overlay.vxlanid_list": "4098",
        "com.docker.network.driver.mtu": "1400",
        "encrypted": "",
    }
    assert found["Containers"]["t1"]["IPv4Address"] == "10.0.1.3/24"
    assert found["Peers"][0]["IP"] == "192.168.0.1"
    assert (found["Attachable"], found["Internal"], found["EnableIPv6"]) == (True, False, False)
    assert "Services" not in found


def test_verbose_inspect_shows_who_answers_for_which_service(socket: Path) -> None:
    [found] = json.loads(run(socket, "network", "inspect", "-v", "back").out)

    web = found["Services"]["web"]
    assert (web["VIP"], web["Ports"], web["Serving"]) == ("10.0.1.2", "*:8080->80/tcp", 1)
    assert [task["Name"] for task in web["Tasks"]] == ["web.1.t1", "web.2.t2"]
    assert web["Tasks"][0]["EndpointIP"] == "10.0.1.3"
    assert web["Tasks"][0]["Info"] == {"Host IP": "192.168.0.1", "Node": "alpha"}
    assert (web["Tasks"][1]["Serving"], web["Tasks"][1]["Reason"]) == (False, "starting")
    assert found["Capacity"] == "10.0.1.0/24: 3 of 253 addresses taken"


def test_inspect_takes_templates_and_every_nodes_own_networks(socket: Path) -> None:
    ran = run(socket, "network", "inspect", "-f", "{{.Name}} {{.Driver}}", "host", "back")

    assert ran.out == "host host\nback overlay\n"


def test_those_that_there_are_are_shown_before_it_fails(socket: Path) -> None:
    ran = run(socket, "network", "inspect", "-f", "{{.Name}}", "back", "nix")

    assert (ran.status, ran.out) == (1, "back\n")
    assert "network 'nix' not found" in ran.err


def test_a_network_in_use_stays_and_others_go(swarm: FakeSwarm, socket: Path) -> None:
    swarm.networks.append(
        control_pb2.NetworkView(
            network=objects_pb2.Network(id="f" * 25, spec=specs_pb2.NetworkSpec(name="front"))
        )
    )

    ran = run(socket, "network", "rm", "back", "front")

    assert (ran.status, ran.out) == (1, "front\n")
    assert "network back is used by web" in ran.err
    assert [each.network for each in swarm.asked(control_pb2.RemoveNetworkRequest)] == [
        BACK,
        "f" * 25,
    ]


def test_every_nodes_own_networks_stay(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "network", "rm", "bridge")

    assert ran.status == 1
    assert "every node's own" in ran.err
    assert swarm.requests == []


def test_the_ingress_network_is_removed_once_somebody_agrees(
    swarm: FakeSwarm, socket: Path
) -> None:
    refused = run(socket, "network", "rm", "ingress", stdin=b"n\n")
    unanswered = run(socket, "network", "rm", "ingress")

    assert "WARNING! Before removing the routing-mesh network" in refused.err
    assert (refused.status, unanswered.status) == (0, 1)
    assert "nobody answered" in unanswered.err
    assert not swarm.asked(control_pb2.RemoveNetworkRequest)
    assert run(socket, "network", "rm", "ingress", stdin=b"y\n").out == "ingress\n"


def test_force_is_content_with_what_is_gone(socket: Path) -> None:
    assert run(socket, "network", "rm", "nix").status == 1
    assert run(socket, "network", "rm", "-f", "nix").status == 0


def test_prune_asks_and_names_what_it_removed(swarm: FakeSwarm, socket: Path) -> None:
    declined = run(socket, "network", "prune", stdin=b"n\n")
    filters = ["--filter", "label=a", "--filter", "label!=b", "--filter", "until=1700000000"]
    ran = run(socket, "network", "prune", "-f", *filters)

    [request] = swarm.asked(control_pb2.PruneNetworksRequest)
    assert (declined.status, declined.out) == (0, "")
    assert ran.out == "Deleted Networks:\ningress\n\n"
    assert (list(request.labels), list(request.not_labels)) == (["a"], ["b"])
    assert request.until == 1_700_000_000


def test_a_task_is_connected_and_disconnected(swarm: FakeSwarm, socket: Path) -> None:
    joined = run(socket, "network", "connect", "--alias", "db", "back", "web.1")
    left = run(socket, "network", "disconnect", "-f", "back", "web.1")

    [connect] = swarm.asked(control_pb2.ConnectNetworkRequest)
    [disconnect] = swarm.asked(control_pb2.DisconnectNetworkRequest)
    assert (joined.status, joined.out, left.status) == (0, "", 0)
    assert (connect.network, connect.task, list(connect.aliases)) == ("back", "web.1", ["db"])
    assert (disconnect.network, disconnect.task, disconnect.force) == ("back", "web.1", True)


def test_a_task_that_waits_for_an_address_is_told_of(swarm: FakeSwarm, socket: Path) -> None:
    swarm.connected = control_pb2.ConnectNetworkResponse(message="no free address")

    ran = run(socket, "network", "connect", "back", "web.1")

    assert (ran.status, ran.err) == (0, "Warning: no free address\n")


@pytest.mark.parametrize("flag", ["--ip=10.0.1.9", "--gw-priority=1", "--link=a", "--driver-opt=a"])
def test_what_a_connection_cannot_have_is_refused_with_the_reason(
    swarm: FakeSwarm, socket: Path, flag: str
) -> None:
    ran = run(socket, "network", "connect", flag, "back", "web.1")

    assert ran.status == 1
    assert f"{flag.partition('=')[0]} is not supported" in ran.err
    assert not swarm.asked(control_pb2.ConnectNetworkRequest)


def test_a_network_of_this_host_is_made_shown_and_removed(swarm: FakeSwarm, socket: Path) -> None:
    made = run(socket, "network", "create", "--scope", "local", "--label", "a=b", "mine")
    listed = run(socket, "network", "ls", "-f", "name=mine", "--format", "{{.Driver}} {{.Scope}}")
    shown = json.loads(run(socket, "network", "inspect", "mine").out)
    gone = run(socket, "network", "rm", "mine")

    (request,) = swarm.asked(localnetworks_pb2.CreateLocalNetworkRequest)
    assert from_message(NetworkSpec, request.spec).driver is NetworkDriver.BRIDGE
    assert made.out == "1" * 64 + "\n"
    assert listed.out == "bridge local\n"
    assert shown[0]["Labels"] == {"a": "b"}
    assert gone.out == "mine\n"
    assert swarm.asked(localnetworks_pb2.RemoveLocalNetworkRequest)[0].network == "1" * 64


def test_without_a_swarm_networks_are_those_of_the_host(swarm: FakeSwarm, socket: Path) -> None:
    swarm.node_id = ""

    run(socket, "network", "create", "mine")
    listed = run(socket, "network", "ls", "--format", "{{.Name}}")
    pruned = run(socket, "network", "prune", "-f")

    assert swarm.asked(localnetworks_pb2.CreateLocalNetworkRequest)
    assert not swarm.asked(control_pb2.CreateNetworkRequest)
    assert listed.out.split() == ["bridge", "host", "mine", "none"]
    assert pruned.out == "Deleted Networks:\nmine\n\n"


def test_a_network_of_this_host_with_a_container_is_not_pruned(
    swarm: FakeSwarm, socket: Path
) -> None:
    swarm.add_local_network(specs_pb2.NetworkSpec(name="used")).users.append("web")

    run(socket, "network", "prune", "-f")

    assert not swarm.asked(localnetworks_pb2.RemoveLocalNetworkRequest)


def test_a_container_is_connected_with_addresses_and_links(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("lone")
    flags = ("--alias", "single", "--ip", "172.30.0.9", "--ip6", "fd00::9", "--link", "db:data")

    ran = run(socket, "network", "connect", *flags, "back", "lone")
    run(socket, "network", "disconnect", "-f", "back", "lone")

    assert ran.status == 0, ran.err
    (request,) = swarm.asked(containers_pb2.ConnectContainerRequest)
    assert request == containers_pb2.ConnectContainerRequest(
        container="lone",
        network=containers_pb2.ContainerNetwork(
            network="back", aliases=["single"], links=["db:data"],
            ipv4_address="172.30.0.9", ipv6_address="fd00::9",
        ),
    )  # fmt: skip
    (request,) = swarm.asked(containers_pb2.DisconnectContainerRequest)
    assert (request.container, request.network, request.force) == ("lone", "back", True)


def test_what_no_container_can_have_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_container("lone")

    ran = run(socket, "network", "connect", "--gw-priority", "1", "back", "lone")

    assert ran.status == 1
    assert "--gw-priority is not supported" in ran.err
    assert not swarm.asked(containers_pb2.ConnectContainerRequest)


def report(
    name: str, *peers: control_pb2.PeerReport, **fields: object
) -> control_pb2.NetworkReport:
    return control_pb2.NetworkReport(node_id=name, hostname=name, mtu=1450, peers=peers, **fields)


def test_a_sound_network_is_shown_pair_by_pair(swarm: FakeSwarm, socket: Path) -> None:
    there = control_pb2.PeerReport(
        node_id="b", hostname="b", reachable=True, round_trip_s=0.00025, largest_bytes=1450
    )
    swarm.reports = [report("a", there)]

    ran = run(socket, "network", "check", "back")

    assert ran.status == 0
    assert [line.split() for line in ran.out.splitlines()] == [
        ["FROM", "TO", "STATUS", "RTT", "LARGEST", "PROBLEM"],
        ["a", "b", "ok", "0.25ms", "1450"],
    ]


def test_a_network_on_one_node_has_nobody_to_probe(swarm: FakeSwarm, socket: Path) -> None:
    swarm.reports = [report("a")]
    alone = run(socket, "network", "check", "back")
    swarm.reports = []
    nobody = run(socket, "network", "check", "back")

    assert (alone.status, nobody.status) == (0, 0)
    assert alone.out == "Only node a has tasks in network back: there is nobody to probe.\n"
    assert nobody.out == "No node has tasks in network back.\n"


def test_what_is_broken_is_named_and_counted(swarm: FakeSwarm, socket: Path) -> None:
    lost = control_pb2.PeerReport(node_id="b", hostname="b", error="no answer within 1 s")
    small = control_pb2.PeerReport(
        node_id="c", hostname="c", reachable=True, largest_bytes=1000, error="1450 bytes are lost"
    )
    swarm.reports = [
        report("a", lost, small),
        report("b", unreachable="its agent is not connected"),
        report("c", problems=["a route is missing"]),
    ]

    ran = run(socket, "network", "check", "back")

    assert ran.status == 1
    assert "network back has 4 problems" in ran.err
    for words in ("unreachable", "impaired", "unknown", "broken", "a route is missing"):
        assert words in ran.out


def test_reports_have_a_form_for_scripts(swarm: FakeSwarm, socket: Path) -> None:
    swarm.reports = [report("a")]

    ran = run(socket, "network", "check", "-f", "{{.Hostname}} {{.MTU}}", "back")

    assert ran.out == "a 1450\n"
