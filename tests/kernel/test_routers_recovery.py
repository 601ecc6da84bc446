"""Agents that were killed, kernels that hold something else, hosts that were wiped."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
from msgspec.structs import replace

from agent.network.addressing import host_link, task_link
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.network.io.networks import Running
from agent.network.kernel import Link, Put, Remove, Table, Veth
from agent.network.skeleton import SLOTS
from swarm.errors import KernelRefused
from swarm.ids import TaskId
from swarm.objects import Network
from swarm.topology import Topology
from tests.kernel.routed import (
    Container,
    Host,
    Swarm,
    addresses,
    ask,
    connected,
    endpoint,
    ip,
    network,
    refuses,
    said,
    swarm,
)
from tests.kernel.test_routers import VIP, attached, router, serving, who

pytestmark = pytest.mark.kernel


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Swarm]:
    with swarm(tmp_path, hosts=2) as made:
        yield made


class Holding:
    """A process in a container's namespace, by which an agent finds it after a restart."""

    def __init__(self, container: Container) -> None:
        with namespaces.entered(container.netns):
            self.process = subprocess.Popen(["sleep", "300"])

    def running(self, container: Container) -> dict[TaskId, Running]:
        connection = container.connection
        return {
            container.task_id: Running(
                pid=self.process.pid,
                attachments=connection.attachments,
                asker=connection.asker,
            )
        }

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def holdings() -> Iterator[list[Holding]]:
    found: list[Holding] = []
    yield found
    for each in found:
        each.end()


def restarted(made: Swarm, host: Host, *running: tuple[Holding, Container]) -> None:
    """Kill the host's agent; another one is told everything, and what runs."""
    made.runner.run(host.restart())
    made.runner.run(host.networks.apply(made.everything))
    found = {
        task_id: each
        for holding, container in running
        for task_id, each in holding.running(container).items()
    }
    made.runner.run(host.networks.reconcile(found))


def everything(host: Host, of: Network) -> list[str]:
    """All that the kernel says of a router, but for what its counters say, and what it learns."""
    netns = namespaces.opened(host.directory / of.id)
    try:
        told = [
            ip(netns, words)
            for words in (
                "link", "addr", "route show table all", "-6 route show table all",
                "neigh show nud permanent", "-6 neigh show nud permanent", "rule", "-6 rule",
            )
        ]  # fmt: skip
        told.append(ip(netns, "fdb show", program="bridge"))
        told.append(ip(netns, "-s list ruleset", program="nft").replace(",", "\n"))
    finally:
        os.close(netns)
    return sorted(line.strip() for each in told for line in each.splitlines())


def differences(made: Swarm, host: Host, of: Network) -> tuple[str, ...]:
    return made.runner.run(host.networks.differences(of.id))


def test_a_restart_changes_nothing_and_stops_no_connection(
    two: Swarm, holdings: list[Holding]
) -> None:
    net = network(ingress=True)
    two.begin(net)
    found = serving(two, net, [two.hosts[0], *two.hosts])
    holdings += [Holding(each) for each in found]
    connections = [connected(found[0].netns, addresses(net, VIP)[0]) for _ in range(10)]
    before = [said(each) for each in connections], everything(two.hosts[0], net)

    restarted(two, two.hosts[0], *zip(holdings[:2], found[:2], strict=True))

    assert ([said(each) for each in connections], everything(two.hosts[0], net)) == before
    assert differences(two, two.hosts[0], net) == ()
    for each in connections:
        each.close()


def test_what_is_foreign_goes_and_what_is_missing_comes_back(
    two: Swarm, holdings: list[Holding]
) -> None:
    net = network(ingress=True)
    two.begin(net)
    found = serving(two, net, two.hosts)
    host = two.hosts[0]
    before = everything(host, net)
    netns = namespaces.opened(host.directory / net.id)
    with router(host, net) as inside:
        slots = inside.elements(SLOTS[False])
        inside.apply(map(Remove, slots[:5]))
        inside.apply([Put(replace(slots[9], key=bytes(8)))])
    for words in (
        "link add foreign type veth peer name foreign2",
        "addr add 10.9.9.9/32 dev lo",
        "addr del 10.1.0.1/32 dev lo",
        "route add 10.8.0.0/16 via 240.0.0.2 dev vx0 onlink",
        "route add 10.7.0.0/16 dev vx0 table 77",
        "-6 route add fd77::/64 dev vx0",
        "route replace 10.1.0.3/32 dev up0",
        "-6 route del fd00:1::3/128",
        "neigh add 10.1.0.99 dev vx0 lladdr 02:00:00:00:00:01 nud permanent",
        "neigh del 240.0.0.2 dev vx0",
        "rule add fwmark 7 lookup 77",
        "-6 rule del fwmark 0x53000000/0xff000000",
        "link set up0 mtu 1200",
    ):
        ip(netns, words)
    ip(netns, "fdb del 02:53:57:00:00:02 dev vx0", program="bridge")
    ip(netns, "fdb add 02:53:57:00:00:07 dev vx0 dst 192.168.77.9", program="bridge")
    for words in (
        "delete element inet swarm zones { 02:53:57:00:00:02 }",
        "add element inet swarm zones { 02:53:57:00:00:07 : 7 }",
        "add table inet foreign",
    ):
        ip(netns, words, program="nft")
    ip(netns, "delete table netdev swarm", program="nft")
    os.close(netns)

    assert len(differences(two, host, net)) >= 18
    two.runner.run(host.networks.reconcile())

    assert everything(host, net) == before
    assert ask(found[0].netns, found[1].addresses[1]) == ("t1", found[0].addresses[1])


@pytest.mark.parametrize("lost", ["vx0", "up0", "rules"])
def test_a_lost_link_and_lost_rules_are_made_anew(two: Swarm, lost: str) -> None:
    net = network(ingress=True)
    two.begin(net)
    found = serving(two, net, two.hosts)
    host = two.hosts[0]
    netns = namespaces.opened(host.directory / net.id)
    if lost == "rules":
        ip(netns, "flush ruleset", program="nft")
    else:
        ip(netns, f"link del {lost}")
    os.close(netns)

    two.runner.run(host.networks.reconcile())

    assert differences(two, host, net) == ()
    assert who(found[0], addresses(net, VIP)[0]).keys() == {"t0", "t1"}
    assert ask(host.netns, found[0].addresses[0])[0] == "t0"


def test_a_wiped_host_is_rebuilt_around_its_containers(two: Swarm, holdings: list[Holding]) -> None:
    net, other = network(1), network(2, internal=True)
    two.begin(net, other)
    found = serving(two, net, two.hosts)
    both = two.container(two.hosts[0], "both", attached(other, 5), attached(net, 5))
    two.answering.serve(both)
    here = [found[0], both]
    holdings += [Holding(each) for each in here]
    two.tell(Topology(endpoints=(endpoint(net, "both", 5, two.hosts[0]),)))
    two.runner.run(two.hosts[0].networks.close())
    for name in namespaces.names(two.hosts[0].directory):
        namespaces.remove(two.hosts[0].directory / name)
    two.until(lambda: "eth0" not in ip(both.netns, "link"))

    restarted(two, two.hosts[0], *zip(holdings, here, strict=True))

    assert ask(both.netns, addresses(net, 1)[1]) == ("t1", addresses(net, 5)[1])
    assert ask(found[1].netns, addresses(net, 5)[0]) == ("both", found[1].addresses[0])
    assert who(found[1], addresses(net, VIP)[0]).keys() >= {"t0", "t1"}
    for each in (net, other):
        assert differences(two, two.hosts[0], each) == ()


@pytest.mark.parametrize("steps", range(4))
def test_a_router_that_a_crash_left_half_made_is_finished(two: Swarm, steps: int) -> None:
    net = network()
    two.begin(net)
    host = two.hosts[0]
    path = host.directory / net.id
    host.directory.mkdir()
    if steps == 0:
        path.touch()
    else:
        namespaces.make(path)
    if steps > 1:
        netns = namespaces.opened(path)
        with Socket(netns) as inside:
            up = Veth(name="up0", peer=host_link(net.id), peer_netns="host")
            inside.apply([Put(up)], namespaces={"host": host.netns})
            if steps > 2:
                inside.apply([Put(Table("swarm")), Put(Link(name="lo"))])
        os.close(netns)

    found = serving(two, net, two.hosts)

    assert differences(two, host, net) == ()
    assert ask(found[0].netns, found[1].addresses[0]) == ("t1", found[0].addresses[0])


def test_a_router_that_was_wiped_a_moment_ago_does_not_stand_in_the_way(two: Swarm) -> None:
    """The kernel takes its time to end a namespace; its links and its tunnel live on."""
    net = network()
    two.begin(net)
    host = two.hosts[0]
    two.container(host, "first", attached(net, 6))
    lingering = namespaces.opened(host.directory / net.id)
    two.runner.run(host.networks.close())
    namespaces.remove(host.directory / net.id)
    ended: list[int] = []

    def end() -> None:
        ended.append(lingering)
        os.close(lingering)

    ending = Timer(0.3, end)
    ending.start()

    restarted(two, host)
    two.container(host, "again", attached(net, 7))

    assert ended
    ending.join()
    assert differences(two, host, net) == ()


def test_what_no_container_needs_any_more_goes_with_the_next_agent(two: Swarm) -> None:
    net = network()
    two.begin(net)
    host = two.hosts[0]
    ended = two.container(host, "ended", attached(net, 0))
    two.runner.run(host.networks.close())
    ended.end()

    restarted(two, host)

    assert namespaces.names(host.directory) == ()
    two.until(lambda: ip(host.netns, "-o link").count("\n") == 2)


def test_a_container_that_ended_unseen_is_forgotten(two: Swarm, holdings: list[Holding]) -> None:
    net = network()
    two.begin(net)
    host = two.hosts[0]
    ended = two.container(host, "ended", attached(net, 0))
    holdings.append(Holding(ended))
    holdings[0].end()
    ended.end()

    restarted(two, host, (holdings[0], ended))

    two.runner.run(host.networks.reconcile())
    assert differences(two, host, net) == ()


@pytest.mark.parametrize("end", ["at the router", "in the container"])
def test_a_container_that_lost_its_interface_gets_it_again(
    two: Swarm, holdings: list[Holding], end: str
) -> None:
    net = network()
    two.begin(net)
    found = serving(two, net, two.hosts)
    host = two.hosts[0]
    holdings.append(Holding(found[0]))
    host.processes[found[0].task_id] = holdings[0].process.pid
    netns = namespaces.opened(host.directory / net.id)
    if end == "at the router":
        ip(netns, f"link del {task_link(found[0].task_id)}")
    else:
        ip(found[0].netns, "link del eth0")
    os.close(netns)

    two.runner.run(host.networks.reconcile())

    assert differences(two, host, net) == ()
    for at in (0, 1):
        assert ask(found[0].netns, found[1].addresses[at]) == ("t1", found[0].addresses[at])
        assert ask(found[1].netns, found[0].addresses[at]) == ("t0", found[1].addresses[at])


def test_a_number_that_is_another_process_by_now_is_nobodys(
    two: Swarm, holdings: list[Holding]
) -> None:
    """A container has ended unseen, and the number of its process is one of another container."""
    net = network()
    two.begin(net)
    host = two.hosts[0]
    ended = two.container(host, "ended", attached(net, 0))
    stays = two.container(host, "stays", attached(net, 1))
    two.answering.serve(stays)
    holdings.append(Holding(stays))
    host.processes[ended.task_id] = holdings[0].process.pid
    before = ip(stays.netns, "addr")
    ended.end()
    with router(host, net) as inside:
        inside.apply([Remove(Link(name=task_link(ended.task_id)))])

    two.runner.run(host.networks.reconcile())

    assert ip(stays.netns, "addr") == before
    assert differences(two, host, net) == ()
    assert ask(two.container(host, "t", attached(net, 2)).netns, stays.addresses[0])[0] == "stays"


def test_an_attachment_that_the_kernel_refuses_leaves_nothing(two: Swarm) -> None:
    """A container that brings an interface of its own, by a name that is ours."""
    net = network()
    two.begin(net)
    host = two.hosts[0]
    stays = two.container(host, "stays", attached(net, 0))
    taken = Container(two.where, host, "taken")
    two.containers["taken"] = taken
    taken.attachments = (attached(net, 1),)
    ip(taken.netns, "link add eth0 type veth peer name other")
    before = everything(host, net)

    with pytest.raises(KernelRefused):
        two.runner.run(host.networks.attach(taken.task_id, taken.netns, taken.connection))

    assert everything(host, net) == before
    assert refuses(stays.netns, taken.addresses[0])
