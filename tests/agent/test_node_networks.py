"""One node's networks on the real kernel, in a network namespace that plays the host."""

import asyncio
import difflib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.network.io import namespaces, nft
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import Healthcheck, NetworkSpec, Port, PublishMode, Subnet, TaskSpec
from swarm.states import TaskState
from swarm.topology import Endpoint, Peer, Record, VirtualService
from tests.agent.islands import Island, island
from tests.agent.managers import NODE, SERVICE, FakeManager
from tests.agent.node import TestNode, node, wait_for
from tests.callers import HERE, SERVE, calling, netns_of, page, said, source
from tests.networks import attached

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

IMAGE = "busy:1"
NET = NetworkId("net1")
NETWORK = Network(
    id=NET,
    spec=NetworkSpec(name="backend", ipv6=True),
    vni=4097,
    subnets=(
        Subnet(subnet="10.77.1.0/24", gateway="10.77.1.1"),
        Subnet(subnet="fd77:1::/64", gateway="fd77:1::1"),
    ),
)
NO_CHECK = Healthcheck()
VIRTUAL = VirtualService(
    network_id=NET,
    service_id=SERVICE,
    service_name="web",
    addresses=("10.77.1.2", "fd77:1::2"),
)

Story = Callable[[FakeManager, TestNode, Island], Awaitable[None]]


def within(story: Story) -> None:
    """Run `story` with a manager on the machine and a node on an island."""

    async def run() -> None:
        with island() as land:
            manager = FakeManager(host=land.manager)
            await manager.start()
            try:
                with node(manager.address, namespace=str(land.path)) as here:
                    here.configure(advertise_host=land.address)
                    here.install(manager)
                    here.start_launcher()
                    here.start_agent()
                    await manager.until(lambda: manager.hellos)
                    await asyncio.to_thread(here.load, IMAGE, cmd=SERVE)
                    try:
                        await story(manager, here, land)
                    except BaseException:
                        print(here.log.read_text())
                        raise
                    finally:
                        await manager.stop()
            finally:
                await manager.stop()
            assert left_behind(land) == []

    asyncio.run(run())


def left_behind(land: Island) -> list[str]:
    """Links and tables of ours on the island."""
    links = [line for line in land.ip("-o", "link").splitlines() if "sw-" in line]
    tables = rules(land).splitlines()
    return links + [line for line in tables if "swarm" in line]


def rules(land: Island) -> str:
    done = subprocess.run(
        ("nsenter", f"--net={land.path}", "nft", "list", "tables"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def names(count: int) -> list[str]:
    return [f"t{number:024}" for number in range(count)]


def endpoint(name: str, number: int, *, is_serving: bool = True) -> Endpoint:
    return Endpoint(
        network_id=NET,
        task_id=TaskId(name),
        task_name=f"web.{number}.{name}",
        service_id=SERVICE,
        service_name="web",
        slot=number,
        node_id=NODE,
        addresses=(f"10.77.1.{number + 10}", f"fd77:1::{number + 10:x}"),
        is_serving=is_serving,
    )


def attachment(name: str, number: int) -> tuple[Attachment, ...]:
    return (Attachment(network_id=NET, addresses=endpoint(name, number).addresses),)


def records(land: Island, *tasks: str) -> tuple[Record, ...]:
    return (
        NETWORK,
        VIRTUAL,
        Peer(node_id=NODE, number=1, hostname="host1", address=land.address),
        *(endpoint(name, number) for number, name in enumerate(tasks, 1)),
    )


async def start_web(
    manager: FakeManager, land: Island, *tasks: str, health: Healthcheck = NO_CHECK
) -> None:
    """Run tasks of one service in the network, all of them serving."""
    manager.describe(*records(land, *tasks))
    version = manager.version(image=IMAGE, networks=attached(NET), health=health)
    given = {name: attachment(name, number) for number, name in enumerate(tasks, 1)}
    manager.assign(*tasks, version=version, attachments=given)
    await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))


async def all_serve(asker: int, *tasks: str) -> None:
    """Wait until each of them answers: one that runs may not listen yet."""
    for number, name in enumerate(tasks, 1):
        address = endpoint(name, number).addresses[0]
        await eventually(f"{name} serves", partial(page, asker, address))


async def eventually(what: str, found: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait until `found` gives something true; what cannot be reached yet is not."""

    def tried() -> object:
        try:
            return found()
        except OSError:
            return None

    await asyncio.to_thread(wait_for, what, tried, within_s=within_s)


def test_containers_without_a_network_are_in_the_nodes_bridge() -> None:
    """They reach each other and the world, which sees the host; nobody reaches them."""

    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        tasks = names(2)
        manager.assign(*tasks, version=manager.version(image=IMAGE, networks=()))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        pids = here.pids()
        addresses = [address_of(here, name) for name in tasks]

        await eventually("the first serves", lambda: page(pids[tasks[1]], addresses[0]))

        assert page(pids[tasks[1]], addresses[0]).strip() == tasks[0][:12]
        assert source(pids[tasks[0]], addresses[0]) == addresses[0]
        with listening(land.manager) as (port, peers):
            said(pids[tasks[0]], land.manager, port)
            assert peers == [land.address]

    within(story)


def test_tasks_of_a_network_reach_each_other_by_address_and_by_virtual_address() -> None:
    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        tasks = names(3)
        await start_web(manager, land, *tasks)
        pids = here.pids()

        for asker in (pids[name] for name in tasks):
            for number, name in enumerate(tasks, 1):
                for address in endpoint(name, number).addresses:
                    await eventually(f"{name} serves", partial(page, asker, address))
                    assert page(asker, address).strip() == name[:12]
            for address in VIRTUAL.addresses:
                found = {page(asker, address).strip() for _ in range(60)}
                assert found == {name[:12] for name in tasks}

    within(story)


def test_a_task_that_runs_is_connected_to_a_network_and_taken_out_of_it() -> None:
    """It is in the node's bridge from the start, and stays there."""

    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        member, guest = names(2)
        await start_web(manager, land, member)
        manager.assign(guest, version=manager.version(image=IMAGE, networks=()))
        await manager.until(lambda: manager.are(TaskState.RUNNING, guest))
        pids, address = here.pids(), endpoint(guest, 5).addresses[0]
        own = address_of(here, guest)
        await eventually("it serves", partial(page, pids[guest], own))

        manager.describe(endpoint(guest, 5))
        manager.connect(guest, *attachment(guest, 5))
        await eventually("it is called", partial(page, pids[member], address))
        other = endpoint(member, 1).addresses[1]
        await eventually("the other one serves", partial(page, pids[guest], other))
        assert page(pids[guest], other).strip() == member[:12]
        assert page(pids[guest], own).strip() == guest[:12]

        manager.connect(guest)
        await eventually("it is called no more", lambda: not called(pids[member], address))
        with listening(land.manager) as (port, peers):
            said(pids[guest], land.manager, port)
            assert peers == [land.address], "its way out is what it was"

    within(story)


def test_a_task_that_is_stopped_is_in_nobodys_way() -> None:
    """One of two replicas is stopped while others call the service: no call fails."""

    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        tasks = names(3)
        await start_web(manager, land, *tasks)
        pids = here.pids()
        await all_serve(pids[tasks[0]], *tasks)
        with calling(pids[tasks[0]], VIRTUAL.addresses[0]) as calls:
            await eventually("called often", lambda: len(calls.answers) > 100)

            manager.describe(endpoint(tasks[2], 3, is_serving=False))
            manager.shut_down(tasks[2])
            await manager.until(lambda: manager.are(TaskState.SHUTDOWN, tasks[2]))
            count = len(calls.answers)
            await eventually("called on", lambda: len(calls.answers) > count + 100)

        assert calls.failures == []
        assert set(calls.answers[-50:]) == {name[:12] for name in tasks[:2]}

    within(story)


def test_an_agent_that_is_killed_stops_no_traffic_and_changes_nothing() -> None:
    """kill -9 of the agent amid traffic; the next one finds all as it should be.

    1. Tasks serve, and are checked often; somebody calls the virtual address all the time.
    2. The agent is killed, and another starts.
    3. It hears of their checks before a manager has said that they belong there.
    4. Once it has settled, the kernel holds what it held before, and no call has failed.
    """
    often = Healthcheck(test=("CMD", "true"), interval_s=0.02, timeout_s=5.0)

    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        tasks = names(3)
        await start_web(manager, land, *tasks, health=often)
        pids = here.pids()
        await all_serve(pids[tasks[0]], *tasks)
        await eventually("links are settled", lambda: "tentative" not in str(held(here, land)))
        before = held(here, land)
        with calling(pids[tasks[0]], VIRTUAL.addresses[0]) as calls:
            await eventually("called often", lambda: len(calls.answers) > 50)

            here.stop_agent(signal.SIGKILL)
            here.start_agent()
            await manager.until(lambda: len(manager.hellos) > 1)
            count = len(calls.answers)
            await eventually("called on", lambda: len(calls.answers) > count + 200)
            await eventually("started", lambda: here.log.read_text().count("agent.started") == 2)
            changed = list[str]()

            def has_settled() -> bool:
                changed[:] = different(before, held(here, land))
                return not changed

            with suppress(AssertionError):
                await eventually("settled", has_settled)

        assert calls.failures == []
        assert not changed, "\n".join(changed)
        assert here.pids() == pids

    within(story)


def test_ports_of_the_node_are_told_and_kept_by_the_next_agent() -> None:
    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        (task,) = names(1)
        ports = (
            Port(target=80, published=8080, mode=PublishMode.HOST),
            Port(target=80, mode=PublishMode.HOST),
        )
        manager.assign(task, version=manager.version(image=IMAGE, networks=(), ports=ports))
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        told = manager.seen[TaskId(task)].ports
        assert told[0] == ports[0]
        assert 32768 <= told[1].published <= 60999
        for each in told:
            await eventually("it answers", partial(outside, land.address, each.published))
            assert source(HERE, land.address, each.published) == land.manager

        here.stop_agent(signal.SIGKILL)
        manager.seen.clear()
        here.start_agent()
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        assert manager.seen[TaskId(task)].ports == told
        assert outside(land.address, told[1].published) == task[:12]
        manager.shut_down(task)
        await manager.until(lambda: manager.are(TaskState.SHUTDOWN, task))
        await eventually("the ports are free", lambda: is_free(land, 8080))

    within(story)


def test_a_port_that_is_taken_fails_the_start_and_a_preflight_says_so() -> None:
    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        (task,) = names(1)
        port = Port(target=80, published=8080, mode=PublishMode.HOST)
        with listening(land.address, 8080, land):
            found = await manager.ask(
                TaskSpec(), ports=(replace(port, published=8081), port), subnets=("10.1.0.0/16",)
            )
            assert [each.partition(":")[0] for each in found] == ["ports[1]"]
            assert "8080" in found[0]

            manager.assign(task, version=manager.version(image=IMAGE, networks=(), ports=(port,)))
            await manager.until(lambda: manager.are(TaskState.FAILED, task))

        assert "8080" in manager.seen[TaskId(task)].error
        await eventually("nothing is left", lambda: here.pids() == {})

    within(story)


def test_a_preflight_names_subnets_that_the_host_reaches_itself() -> None:
    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        land.ip("route", "add", "10.50.0.0/16", "via", land.manager)

        found = await manager.ask(TaskSpec(), subnets=("10.60.0.0/24", "10.50.3.0/24"))

        assert found == ("subnets[1]: 10.50.3.0/24 hits 10.50.0.0/16, which is reached by eth0",)

    within(story)


def test_after_a_reboot_all_is_rebuilt() -> None:
    """The namespaces, links and tables are gone, and so are the containers."""

    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        first, second = names(2)
        await start_web(manager, land, first)
        here.stop_agent(signal.SIGKILL)
        os.kill(here.pids()[first], signal.SIGKILL)
        wipe(here, land)
        assert left_behind(land) == []

        here.start_agent()
        await manager.until(lambda: manager.are(TaskState.FAILED, first))
        manager.withdraw(first)
        manager.describe(endpoint(second, 2))
        manager.assign(second, version=1, attachments={second: attachment(second, 2)})
        await manager.until(lambda: manager.are(TaskState.RUNNING, second))

        pid = here.pids()[second]
        await eventually("it serves", lambda: page(pid, VIRTUAL.addresses[0]))

    within(story)


def test_a_node_that_leaves_takes_its_networks_down() -> None:
    async def story(manager: FakeManager, here: TestNode, land: Island) -> None:
        tasks = names(2)
        await start_web(manager, land, *tasks)
        assert left_behind(land)

        await asyncio.to_thread(here.stop_agent, signal.SIGUSR1)

        assert left_behind(land) == []
        assert namespaces.names(here.run_root / "netns") == ()

    within(story)


# --- what the stories ask and break ---------------------------------------------------------------


@contextmanager
def listening(
    address: str, port: int = 0, land: Island | None = None
) -> Iterator[tuple[int, list[str]]]:
    """A server of the host's own, or of the machine's; the addresses that it is asked from."""
    peers = list[str]()
    netns = netns_of(land.path) if land else namespaces.mine()
    try:
        with namespaces.entered(netns), socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen()

            def serve() -> None:
                while True:
                    try:
                        connection, (peer, _) = server.accept()
                    except OSError:
                        return
                    peers.append(peer)
                    connection.close()

            serving = threading.Thread(target=serve)
            serving.start()
            try:
                yield server.getsockname()[1], peers
            finally:
                server.shutdown(socket.SHUT_RDWR)
                serving.join()
    finally:
        os.close(netns)


def outside(address: str, port: int) -> str:
    """A page as the machine, which is not on the island, gets it."""
    return page(HERE, address, port).strip()


def called(place: int, address: str) -> bool:
    try:
        return bool(page(place, address))
    except OSError:
        return False


def address_of(here: TestNode, name: str) -> str:
    """A task's address in the bridge, out of its /etc/hosts."""
    hosts = Path(f"/proc/{here.pids()[name]}/root/etc/hosts").read_text()
    return next(line.split()[0] for line in hosts.splitlines() if line.endswith(name[:12]))


def is_free(land: Island, port: int) -> bool:
    netns = netns_of(land.path)
    try:
        with namespaces.entered(netns), socket.socket() as probe:
            probe.bind(("0.0.0.0", port))
            return True
    finally:
        os.close(netns)


def held(here: TestNode, land: Island) -> dict[str, str]:
    """What the kernel holds on the island and in each router, without counters and handles."""
    places = {"island": str(land.path)} | {
        name: str(here.run_root / "netns" / name)
        for name in namespaces.names(here.run_root / "netns")
    }
    return {name: dump(path) for name, path in places.items()}


def different(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The lines that came and went."""
    return [
        f"{place}: {line}"
        for place in sorted(before.keys() | after.keys())
        for line in difflib.unified_diff(
            before.get(place, "").splitlines(), after.get(place, "").splitlines(), n=0
        )
    ]


def dump(path: str) -> str:
    commands = (
        ("ip", "-o", "link"), ("ip", "-o", "addr"), ("ip", "route", "show", "table", "all"),
        ("ip", "-6", "route", "show", "table", "all"), ("ip", "neigh", "show", "nud", "permanent"),
        ("bridge", "fdb"), ("ip", "rule"), ("nft", "list", "ruleset"),
    )  # fmt: skip
    found = [
        subprocess.run(
            ("nsenter", f"--net={path}", *each), capture_output=True, text=True, check=True
        ).stdout
        for each in commands
    ]
    text = "\n".join("\n".join(sorted(each.splitlines())) for each in found)
    text = re.sub(r"packets \d+ bytes \d+", "packets N bytes N", text)
    return re.sub(r"(expires|last used) \S+", "", text)


def wipe(here: TestNode, land: Island) -> None:
    """Take away what a reboot takes away."""
    for name in namespaces.names(here.run_root / "netns"):
        namespaces.remove(here.run_root / "netns" / name)
    for line in land.ip("-o", "link").splitlines():
        link = line.split()[1].partition("@")[0].rstrip(":")
        if link.startswith("sw-"):  # the other end may be taking it along just now
            subprocess.run(("ip", "-n", land.name, "link", "del", link), check=False)
    netns = netns_of(land.path)
    try:
        nft.load("flush ruleset\n", netns)
    finally:
        os.close(netns)
