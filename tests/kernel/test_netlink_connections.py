"""Tracked connections, as /proc shows them and as we read and forget them."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.io.namespaces import entered
from agent.network.kernel import Address, Flow, Link, Put
from tests.kernel.netlink_lab import Place, places

pytestmark = pytest.mark.kernel

CLIENT, VIRTUAL, BACKEND, OTHER = "10.0.1.10", "10.0.1.5", "10.0.1.20", "10.0.1.30"
RULESET = f"""
table inet lab {{
  chain nat {{
    type nat hook output priority -100
    ip daddr {VIRTUAL} meta l4proto {{ tcp, udp }} dnat ip to {BACKEND}
    ip6 daddr fd00::5 dnat ip6 to fd00::20
  }}
  chain silent {{ type filter hook input priority 0; tcp dport 81 drop; }}
}}
"""


class Lab:
    """A namespace whose loopback has all addresses; sockets made here live there."""

    def __init__(self, place: Place, stack: contextlib.ExitStack) -> None:
        self.place = place
        self._stack = stack

    def made(self, family: int, kind: int) -> socket.socket:
        with entered(self.place.netns):
            return self._stack.enter_context(socket.socket(family, kind))

    def bound(self, kind: int, address: str, port: int = 0) -> socket.socket:
        made = self.made(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        made.bind((address, port))
        made.settimeout(5)
        return made

    def ask(self, source: str, destination: str) -> socket.socket:
        """A datagram and its answer."""
        server = self.bound(socket.SOCK_DGRAM, BACKEND if ":" not in source else "fd00::20", 53)
        client = self.bound(socket.SOCK_DGRAM, source)
        client.sendto(b"?", (destination, 53))
        _, whom = server.recvfrom(9)
        server.sendto(b"!", whom)
        assert client.recv(9) == b"!"
        server.close()
        return client

    def lead_to(self, backend: str) -> None:
        """Have the virtual address lead elsewhere."""
        self.place.nft(
            "flush chain inet lab nat\n"
            f"add rule inet lab nat ip daddr {VIRTUAL} dnat ip to {backend}\n"
        )

    def shown(self) -> set[tuple[str, ...]]:
        """Protocol and both tuples of every connection, as the kernel prints them."""
        text = self.place.run("cat", "/proc/net/nf_conntrack")
        return {
            (line.split()[2], *re.findall(r"(?:src|dst|sport|dport)=(\S+)", line))
            for line in text.splitlines()
        }

    def flows(self, backend: str | None = None) -> list[Flow]:
        return self.place.socket.flows(backend)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with places(tmp_path / "netns", "host") as (place,), contextlib.ExitStack() as stack:
        place.socket.apply(
            [
                Put(Link(name="lo")),
                *(
                    Put(Address(link="lo", address=f"{each}/32"))
                    for each in (CLIENT, VIRTUAL, BACKEND, OTHER)
                ),
                *(Put(Address(link="lo", address=f"fd00::{each}/128")) for each in (10, 5, 20)),
            ]
        )
        place.nft(RULESET)
        yield Lab(place, stack)


def as_shown(flow: Flow) -> tuple[str, ...]:
    protocol = {6: "tcp", 17: "udp"}[flow.protocol]
    ends = (
        (flow.source, flow.destination, flow.source_port, flow.destination_port),
        (
            flow.reply_source, flow.reply_destination,
            flow.reply_source_port, flow.reply_destination_port,
        ),
    )  # fmt: skip
    return protocol, *(str(part) for end in ends for part in end)


def test_connections_are_read_as_the_kernel_shows_them(lab: Lab) -> None:
    lab.ask(CLIENT, VIRTUAL)
    lab.ask(OTHER, BACKEND)
    server = lab.bound(socket.SOCK_STREAM, BACKEND, 80)
    server.listen()
    lab.bound(socket.SOCK_STREAM, CLIENT).connect((VIRTUAL, 80))

    flows = lab.flows()

    assert {as_shown(flow) for flow in flows} == lab.shown()
    assert len(flows) == 3
    through = [flow for flow in flows if flow.destination == VIRTUAL]
    assert {(flow.protocol, flow.reply_source) for flow in through} == {(6, BACKEND), (17, BACKEND)}
    assert all(flow.is_answered for flow in flows)
    assert {flow.protocol: flow.is_established for flow in through} == {6: True, 17: False}


def test_a_handshake_that_is_not_answered_is_not_established(lab: Lab) -> None:
    client = lab.made(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    assert client.connect_ex((VIRTUAL, 81)) != 0

    (flow,) = lab.flows(BACKEND)

    assert (flow.destination, flow.destination_port) == (VIRTUAL, 81)
    assert not flow.is_answered
    assert not flow.is_established


def test_only_those_of_a_backend_are_read(lab: Lab) -> None:
    lab.ask(CLIENT, VIRTUAL)
    elsewhere = lab.bound(socket.SOCK_DGRAM, OTHER, 54)
    lab.bound(socket.SOCK_DGRAM, CLIENT).sendto(b"?", (OTHER, 54))
    elsewhere.recv(9)

    assert [flow.destination for flow in lab.flows(BACKEND)] == [VIRTUAL]
    assert [flow.destination for flow in lab.flows(OTHER)] == [OTHER]
    assert lab.flows("10.0.1.99") == []
    assert len(lab.flows()) == 2


def test_ipv6_connections_are_read_and_forgotten_too(lab: Lab) -> None:
    lab.ask("fd00::10", "fd00::5")

    (flow,) = lab.flows("fd00::20")

    assert (flow.source, flow.destination) == ("fd00::10", "fd00::5")
    lab.place.socket.forget([flow])
    assert lab.flows("fd00::20") == []


def test_what_is_forgotten_is_gone_and_nothing_else(lab: Lab) -> None:
    lab.ask(CLIENT, VIRTUAL)
    lab.ask(OTHER, BACKEND)
    (gone,) = [flow for flow in lab.flows(BACKEND) if flow.destination == VIRTUAL]

    for _ in range(2):
        lab.place.socket.forget([gone])

        assert [flow.destination for flow in lab.flows()] == [BACKEND]


@pytest.mark.parametrize(
    ("asks", "answers", "zones"),
    [("ct zone set 3", "ct zone set 3", (3, 0)), ("ct original zone set 3", "accept", (0, 3))],
)
def test_a_connection_is_forgotten_in_its_zone(
    lab: Lab, asks: str, answers: str, zones: tuple[int, int]
) -> None:
    """One that is in it in both directions, or in that of its first packet."""
    lab.place.nft(
        "add chain inet lab zones { type filter hook output priority raw; }\n"
        f"add rule inet lab zones udp dport 53 {asks}\n"
        f"add rule inet lab zones udp sport 53 {answers}\n"
    )
    lab.ask(CLIENT, VIRTUAL)
    (flow,) = lab.flows(BACKEND)

    lab.place.socket.forget([flow])

    assert (flow.zone, flow.original_zone) == zones
    assert lab.flows() == []


def test_a_connection_that_took_the_place_of_a_forgotten_one_is_kept(lab: Lab) -> None:
    """A client uses its port once more while what is gone is looked for."""
    client = lab.ask(CLIENT, VIRTUAL)
    (gone,) = lab.flows(BACKEND)
    lab.place.socket.forget([gone])
    lab.lead_to(OTHER)
    client.sendto(b"?", (VIRTUAL, 53))

    lab.place.socket.forget([gone])

    (kept,) = lab.flows(OTHER)
    assert (kept.source_port, kept.destination) == (gone.source_port, gone.destination)


def test_a_forgotten_connection_is_balanced_anew(lab: Lab) -> None:
    """A client goes on using its socket after its backend has gone.

    1. The virtual address leads to one backend, and that is remembered.
    2. The address leads to another one now; what is remembered still counts.
    3. Once it is forgotten, the same socket's next datagram reaches the other one.
    """
    client = lab.ask(CLIENT, VIRTUAL)
    other = lab.bound(socket.SOCK_DGRAM, OTHER, 53)
    old = lab.bound(socket.SOCK_DGRAM, BACKEND, 53)
    lab.lead_to(OTHER)
    client.sendto(b"a", (VIRTUAL, 53))
    assert old.recv(9) == b"a"

    lab.place.socket.forget(lab.flows(BACKEND))

    client.sendto(b"b", (VIRTUAL, 53))
    assert other.recv(9) == b"b"
