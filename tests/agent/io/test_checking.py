"""Echoes between two namespaces, over a path that may be narrow or cut."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from agent.io.checking import Checking, Echoes, sound
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.network.kernel import Address, Link, Put, Veth
from agent.sounding import Sounding
from agent.topology import Table
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.ids import NetworkId, NodeId
from swarm.objects import Network
from swarm.specs import NetworkSpec
from swarm.topology import Peer, Topology

pytestmark = pytest.mark.kernel

HERE, THERE = "240.0.0.1", "240.0.0.2"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Two namespaces with a link of 1,500 bytes between them."""
    paths = (tmp_path / "here", tmp_path / "there")
    for path in paths:
        namespaces.make(path)
    here, there = (namespaces.opened(path) for path in paths)
    try:
        with Socket(here) as one, Socket(there) as other:
            veth = Veth(name="a", peer="b", peer_netns="there", mtu=1500)
            one.apply((Put(veth),), namespaces={"there": there})
            for kernel, link, address in ((one, "a", HERE), (other, "b", THERE)):
                mine = Address(link=link, address=f"{address}/8", has_prefix_route=True)
                kernel.apply((Put(mine),))
        yield here, there
    finally:
        for descriptor, path in zip((here, there), paths, strict=True):
            os.close(descriptor)
            namespaces.remove(path)


def within(netns: int, story: Callable[[Echoes], Awaitable[None]]) -> None:
    async def run() -> None:
        echoes = Echoes(netns)
        try:
            await story(echoes)
        finally:
            echoes.close()

    asyncio.run(run())


def test_a_peer_that_takes_full_packets_is_reached_with_two(pair: tuple[int, int]) -> None:
    async def story(echoes: Echoes) -> None:
        found = await sound(echoes, THERE, Sounding(mtu=1500))

        assert (found.passed, found.failed) == (1500, 0)
        assert 0 < found.round_trip_s < 30

    within(pair[0], story)


def test_an_answer_that_came_while_nobody_could_look_is_one(pair: tuple[int, int]) -> None:
    async def story(echoes: Echoes) -> None:
        asking = asyncio.ensure_future(echoes.ask(THERE, 64, within_s=0.05))
        await asyncio.sleep(0)

        _be_busy_for(0.2)

        assert (await asking or 0) > 0.05

    within(pair[0], story)


def _be_busy_for(seconds: float) -> None:
    """As a machine is on which nothing goes on for that long."""
    time.sleep(seconds)


def test_the_largest_packet_of_a_narrow_path_is_found(pair: tuple[int, int]) -> None:
    with Socket(pair[1]) as other:
        other.apply((Put(Link(name="b", mtu=1400)),))

    async def story(echoes: Echoes) -> None:
        found = await sound(echoes, THERE, Sounding(mtu=1500))

        assert 1400 <= found.passed <= 1404, "the kernel lets four bytes more through"

    within(pair[0], story)


def test_a_peer_behind_a_link_that_is_down_is_not_reached(pair: tuple[int, int]) -> None:
    with Socket(pair[1]) as other:
        other.apply((Put(Link(name="b", is_up=False)),))

    async def story(echoes: Echoes) -> None:
        found = await sound(echoes, THERE, Sounding(mtu=1500))

        assert not found.is_reached

    within(pair[0], story)


def test_a_packet_that_cannot_be_sent_says_why(pair: tuple[int, int]) -> None:
    async def story(echoes: Echoes) -> None:
        with pytest.raises(OSError, match="unreachable"):
            await echoes.ask("203.0.113.9", 64, within_s=0.1)

    within(pair[0], story)


class Talk:
    """Keeps what was concluded."""

    def __init__(self) -> None:
        self.report = control_pb2.NetworkReport()

    async def conclude(self, *, network_report: control_pb2.NetworkReport) -> None:
        self.report = network_report


def test_who_cannot_be_encrypted_for_is_named_and_the_port_of_others(tmp_path: Path) -> None:
    """One node has no WireGuard, and the other one does not answer."""
    network = Network(id=NetworkId("net1"), spec=NetworkSpec(name="net1", encrypted=True))
    table = Table()
    able = Peer(node_id=NodeId("b"), number=2, address="192.0.2.2", public_key=bytes(32))
    plain = Peer(node_id=NodeId("c"), number=3, address="192.0.2.3")
    table.take(Topology(networks=(network,), peers=(able, plain), data_path_port=5000))
    namespaces.make(tmp_path / "net1")
    netns = namespaces.opened(tmp_path / "net1")

    async def problems(network_id: NetworkId) -> tuple[str, ...]:
        return ()

    async def story() -> control_pb2.NetworkReport:
        checking = Checking(tmp_path, node_id=NodeId("a"), table=table, problems=problems)
        question = dispatch_pb2.Question()
        question.network_check.network_id = "net1"
        question.network_check.node_ids.extend(("a", "b", "c"))
        talk = Talk()
        await checking.respond(talk, question)
        return talk.report

    try:
        with Socket(netns) as kernel:
            mine = Address(link="vx0", address=f"{HERE}/8", has_prefix_route=True)
            kernel.apply((Put(Veth(name="vx0", peer="other")), Put(mine)))
        report = asyncio.run(story())
    finally:
        os.close(netns)
        namespaces.remove(tmp_path / "net1")

    errors = {each.node_id: each.error for each in report.peers}
    assert errors.keys() == {"b", "c"}
    assert "port 5001 of 192.0.2.2" in errors["b"]
    assert errors["c"].startswith("it has no WireGuard; load the kernel's module wireguard there")
