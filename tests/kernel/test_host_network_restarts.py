"""Agents that end and come back, and hosts whose rules somebody else took away."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.network import host_rules
from agent.network.io.netlink import Socket
from agent.topology import Changes
from swarm.objects import Attachment
from swarm.specs import Port, Protocol, PublishMode
from swarm.topology import Topology, key_of
from tests.kernel.hosted import (
    CLIENT,
    INGRESS,
    Asking,
    HostedSwarm,
    bound,
    elements,
    hosted,
    is_refused,
    publication,
)
from tests.kernel.routed import addresses, ask, connected, ip, said

pytestmark = pytest.mark.kernel
WEB = Port(target=80, published=8080)
UDP = Port(target=80, published=5300, protocol=Protocol.UDP)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[HostedSwarm]:
    with hosted(tmp_path) as made:
        yield made


def published(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB, UDP))
    for number in (5, 6):
        _, made = swarm.backend(swarm.hosts[number - 5], number)
        swarm.say(made)


def test_an_agent_that_starts_anew_changes_nothing_and_nobody_notices(swarm: HostedSwarm) -> None:
    """New and old connections go on, and the kernel holds to the element what it held."""
    published(swarm)
    host = swarm.hosts[0]
    own = Port(target=80, published=7000, mode=PublishMode.HOST)
    at = Attachment(network_id=INGRESS.id, addresses=addresses(INGRESS, 7))
    swarm.answering.serve(swarm.connect(host, "own7", at, own))
    before = elements(host.netns)

    with (
        connected(swarm.outside, host.address, 8080) as old,
        Asking(swarm.outside, host.address, 8080) as asking,
        Asking(swarm.outside, host.address, 7000) as asking_own,
    ):
        answer = said(old)
        for _ in range(3):
            asking.has_asked()
            swarm.restart(host)
            asking_own.has_asked()
        assert said(old) == answer

    assert not asking.failures
    assert not asking_own.failures
    assert elements(host.netns) == before
    with pytest.raises(OSError, match="in use"):
        bound(host.netns, 8080)


def test_a_port_that_somebody_took_while_the_agent_was_gone_is_told_and_still_led(
    swarm: HostedSwarm,
) -> None:
    published(swarm)
    host = swarm.hosts[0]
    swarm.stop(host)

    with bound(host.netns, 8080) as program:
        program.listen()
        swarm.start(host)
        (problem,) = swarm.side(host).problems()
        answer = ask(swarm.outside, host.address, 8080)

    assert "8080/tcp is in use by" in problem
    assert answer[1] == CLIENT
    swarm.runner.run(swarm.side(host).reconcile())
    assert not swarm.side(host).problems()


def test_what_was_withdrawn_while_the_agent_was_gone_is_gone_afterwards(
    swarm: HostedSwarm,
) -> None:
    published(swarm)
    host = swarm.hosts[0]
    removed = Topology(removed=(key_of(publication()), *_endpoint_keys(swarm)))
    swarm.table.take(removed)

    swarm.restart(host)
    swarm.runner.run(host.networks.reconcile())

    after = elements(host.netns)
    assert not after["ports"]
    assert not after["slots4"]
    assert not after["opened"]
    assert is_refused(partial(ask, swarm.outside, host.address, 8080))


def test_flushed_rules_come_back_with_the_next_change(swarm: HostedSwarm) -> None:
    published(swarm)
    host = swarm.hosts[0]
    before = elements(host.netns)
    ip(host.netns, "flush ruleset", program="nft")
    lost = is_refused(partial(ask, swarm.outside, host.address, 8080))

    swarm.say(publication(WEB, UDP, replace(WEB, published=8081)))

    assert lost
    assert ask(swarm.outside, host.address, 8080)[1] == CLIENT
    assert ask(swarm.outside, host.address, 8081)[1] == CLIENT
    swarm.say(publication(WEB, UDP))
    assert elements(host.netns) == before


@pytest.mark.parametrize(
    "loss",
    [
        ("nft", "delete table inet swarm"),
        ("nft", "flush map inet swarm slots4"),
        ("nft", "flush set inet swarm uplinks"),
        ("nft", "flush set inet swarm revision ; flush table inet swarm"),
        ("ip", "route flush proto 83"),
        ("ip", "-6 route flush proto 83 table local"),
        ("ip", "neigh flush nud permanent dev {link}"),
    ],
    ids=" ".join,
)
def test_what_is_lost_is_mended_and_what_is_foreign_among_ours_goes(
    swarm: HostedSwarm, loss: tuple[str, str]
) -> None:
    published(swarm)
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])
    before = held(swarm)
    (link,) = links(swarm)
    ip(host.netns, "add element inet swarm ports { tcp . 22 : goto share16 }", program="nft")
    ip(host.netns, "add element inet swarm peers4 { 192.168.77.100 }", program="nft")
    ip(host.netns, f"route add 10.88.0.0/16 dev {link} proto 83")

    ip(host.netns, loss[1].format(link=link), program=loss[0])
    swarm.runner.run(side.reconcile())

    assert held(swarm) == before
    assert ask(swarm.outside, host.address, 8080)[1] == CLIENT


def test_a_host_that_is_as_it_should_be_is_left_alone(swarm: HostedSwarm) -> None:
    published(swarm)
    host = swarm.hosts[0]
    ask(swarm.outside, host.address, 8080)
    with Socket(host.netns) as kernel:
        before = kernel.counts(host_rules.OPENED)

        swarm.runner.run(swarm.side(host).reconcile())

        assert kernel.counts(host_rules.OPENED) == before
        assert any(each.packets for each in before.values())


def test_rules_of_another_version_are_exchanged_without_a_gap(
    swarm: HostedSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(swarm)
    host = swarm.hosts[0]
    older, _, _ = host_rules.text().replace("127.0.0.0/8", "127.0.0.0/9").rpartition("{")
    listing = partial(ip, host.netns, "list chain inet swarm arriving", program="nft")

    with Asking(swarm.outside, host.address, 8080) as asking:
        with monkeypatch.context() as patch:
            patch.setattr(host_rules, "text", lambda: f"{older}{{ 7 }}\n")
            swarm.restart(host)
        before = listing()
        asking.has_asked()
        swarm.restart(host)
        asking.has_asked()

    assert not asking.failures
    assert "127.0.0.0/9" in before
    assert "127.0.0.0/9" not in listing()


def test_when_the_last_port_and_network_go_so_does_the_table(swarm: HostedSwarm) -> None:
    published(swarm)
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])

    swarm.runner.run(side.disconnect(INGRESS.id))
    swarm.runner.run(side.apply(Changes(gone=tuple(swarm.table.records.values()))))

    with Socket(host.netns) as kernel:
        assert host_rules.TABLE not in kernel.tables()
        assert not kernel.routes()


def held(swarm: HostedSwarm) -> tuple[object, ...]:
    """All that is ours in the first host's namespace."""
    with Socket(swarm.hosts[0].netns) as kernel:
        ours = set(links(swarm))
        near = {each for each in kernel.neighbours() if each.link in ours}
        return elements(swarm.hosts[0].netns), set(kernel.routes()), near


def links(swarm: HostedSwarm) -> list[str]:
    with Socket(swarm.hosts[0].netns) as kernel:
        return [each.name for each in kernel.links() if host_rules.is_uplink(each.name)]


def _endpoint_keys(swarm: HostedSwarm) -> tuple[str, ...]:
    return tuple(key for key in swarm.table.records if key.startswith("endpoint/"))
