"""Containers in networks of one node: names, addresses, ports, links, and what survives a kill."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import grpc
import pytest

from agent.network.io import namespaces, nft
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import localnetworks_pb2, localnetworks_pb2_grpc
from swarm.codec import to_message
from swarm.specs import NetworkDriver, NetworkSpec, Port, Protocol, PublishMode, Subnet
from swarm.standalone import ContainerNetwork, PortSpan
from tests.agent.islands import Island, island
from tests.agent.lone import LoneNode, create, lone_node, run
from tests.agent.node import wait_for
from tests.callers import HERE, SERVE, calling, netns_of, page, resolve, source

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

SLEEP = ("sleep", "1000")


class Lab:
    """One node on an island, and what may be asked of its containers and networks."""

    def __init__(self, here: LoneNode, land: Island) -> None:
        self.here, self.land = here, land
        self.calls = here.start()
        self.networks = self.served()

    def served(self) -> localnetworks_pb2_grpc.LocalNetworksStub:
        self._channel = grpc.insecure_channel(f"unix:{self.here.run_root}/agent.sock")
        return localnetworks_pb2_grpc.LocalNetworksStub(self._channel)

    def network(self, name: str, *subnets: str, **fields: object) -> str:
        spec = NetworkSpec(
            name=name,
            driver=NetworkDriver.BRIDGE,
            subnets=tuple(Subnet(subnet=each) for each in subnets),
            **fields,  # type: ignore[arg-type]
        )
        asked = localnetworks_pb2.CreateLocalNetworkRequest(spec=to_message(spec))
        return self.networks.CreateLocalNetwork(asked).network.network.id

    def remove(self, name: str) -> None:
        self.networks.RemoveLocalNetwork(localnetworks_pb2.RemoveLocalNetworkRequest(network=name))

    def seen(self) -> dict[str, localnetworks_pb2.LocalNetwork]:
        asked = localnetworks_pb2.ListLocalNetworksRequest()
        found = self.networks.ListLocalNetworks(asked).networks
        return {each.network.spec.name: each for each in found}

    def run(
        self, name: str, *args: str, mode: str = "bridge", **fields: object
    ) -> pb.ContainerView:
        run(self.calls, *(args or SLEEP), mode=mode, name=name, **fields)
        return self.view(name)

    def serve(self, name: str, mode: str = "bridge", **fields: object) -> pb.ContainerView:
        """A container with a page, which says its host name."""
        found = self.run(name, *SERVE, mode=mode, hostname=name, **fields)
        wait_for(f"{name} serves", lambda: reached(found.pid, "127.0.0.1"))
        return found

    def view(self, name: str) -> pb.ContainerView:
        return self.calls.InspectContainer(pb.InspectContainerRequest(container=name)).container

    def address(self, name: str, network: str = "") -> str:
        """Its address in a network, or in the first."""
        for each in self.view(name).endpoints:
            if network in ("", each.network_name) and each.addresses:
                return each.addresses[0].partition("/")[0]
        raise AssertionError(f"{name} has no address in {network}")

    def connect(self, name: str, network: str, **fields: object) -> None:
        asked = ContainerNetwork(network=network, **fields)  # type: ignore[arg-type]
        self.calls.ConnectContainer(
            pb.ConnectContainerRequest(container=name, network=to_message(asked)), timeout=20
        )

    def disconnect(self, name: str, network: str) -> None:
        self.calls.DisconnectContainer(
            pb.DisconnectContainerRequest(container=name, network=network), timeout=20
        )

    def start(self, name: str) -> None:
        self.calls.StartContainer(pb.StartContainerRequest(container=name), timeout=20)

    def stop(self, name: str) -> None:
        self.calls.StopContainer(pb.StopContainerRequest(container=name, grace_s=0), timeout=20)

    def file(self, name: str, path: str = "/etc/hosts") -> str:
        return Path(f"/proc/{self.view(name).pid}/root{path}").read_text()

    def restart_agent(self, number: int = signal.SIGKILL) -> None:
        self.calls = self.here.restart_agent(number)
        self.networks = self.served()

    def clear(self) -> None:
        found = self.calls.ListContainers(pb.ListContainersRequest()).containers
        for each in found:
            self.calls.RemoveContainer(
                pb.RemoveContainerRequest(container=each.id, force=True), timeout=20
            )
        for name, each in self.seen().items():
            if name not in ("bridge", "host", "none"):
                assert list(each.endpoints) == []
                self.remove(name)

    def refused(self, words: str) -> contextlib.AbstractContextManager[object]:
        return pytest.raises(grpc.RpcError, match=words)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with island() as land, lone_node(namespace=str(land.path)) as here:
        try:
            yield Lab(here, land)
        finally:
            print(here.log.read_text())


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    """The same node for all, which has nothing left of what came before."""
    yield shared
    shared.clear()


def test_containers_of_a_network_find_each_other_by_name_and_others_do_not(lab: Lab) -> None:
    lab.network("front")
    lab.network("back")
    web = lab.serve("web", "front", networks=(ContainerNetwork(network="front", aliases=("www",)),))
    asker = lab.run("asker", mode="front")
    stranger = lab.run("stranger", mode="back")

    address = lab.address("web")
    for name in ("web", "WWW", "www.front", web.id[:12], "web.front"):
        await_name(asker.pid, name, {address})
    assert page(asker.pid, address).strip() == "web"
    assert lab.view("web").endpoints[0].names == ["web", "www", web.id[:12]]
    with pytest.raises(OSError):
        page(stranger.pid, address)

    lab.calls.RenameContainer(pb.RenameContainerRequest(container="web", name="site"))
    await_name(asker.pid, "site", {address})
    lab.stop("site")
    lab.start("site")
    assert lab.address("site") == address, "it gets what it had"
    await_name(asker.pid, "site", {address})


def test_a_network_is_made_listed_refused_and_removed(lab: Lab) -> None:
    """It outlives the agent, and is removed when nobody is in it any more."""
    network_id = lab.network("front", "10.99.0.0/24", labels={"tier": "front"})
    assert len(network_id) == 64
    with lab.refused("network with name front already exists"):
        lab.network("front")
    with lab.refused("Pool overlaps"):
        lab.network("other", "10.99.0.128/25")
    with lab.refused("Pool overlaps"):
        lab.network("other", "198.19.0.0/16")
    lab.run("one", mode="front")
    create(lab.calls, "true", mode="front", name="two")

    lab.restart_agent()
    front = lab.seen()["front"]
    assert front.network.id == network_id
    assert dict(front.network.spec.labels) == {"tier": "front"}
    assert [each.container_name for each in front.endpoints] == ["one"]
    assert front.users == ["one", "two"]
    assert lab.seen()["none"].driver == "null"

    with lab.refused("network front id [0-9a-f]{64} has active endpoints"):
        lab.remove("front")
    with lab.refused("bridge is a pre-defined network"):
        lab.remove("bridge")
    lab.stop("one")
    lab.remove(network_id[:10])
    assert "front" not in lab.seen()
    with lab.refused("network front not found"):
        lab.start("two")
    assert network_id not in namespaces.names(lab.here.run_root / "netns")


def test_addresses_of_both_kinds_are_given_as_asked_for(lab: Lab) -> None:
    lab.network("front", "10.99.0.0/24", "fd99::/64", ipv6=True)
    wish = ContainerNetwork(
        network="front",
        ipv4_address="10.99.0.77",
        ipv6_address="fd99::77",
        mac_address="02:42:AC:11:00:0A",
    )
    web = lab.serve("web", "front", networks=(wish,))
    asker = lab.run("asker", mode="front")

    (endpoint,) = web.endpoints
    assert endpoint.addresses == ["10.99.0.77/24", "fd99::77/64"]
    assert endpoint.gateways == ["10.99.0.1", "fd99::1"]
    assert endpoint.mac_address == "02:42:ac:11:00:0a"
    links = subprocess.run(
        ("nsenter", f"--net=/proc/{web.pid}/ns/net", "ip", "link", "show", "eth0"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "02:42:ac:11:00:0a" in links.stdout
    await_name(asker.pid, "web", {"fd99::77"}, ipv6=True)
    assert page(asker.pid, "fd99::77").strip() == "web"
    with lab.refused("Address already in use"):
        lab.run("late", mode="front", networks=(wish,))
    with lab.refused("does not belong to any of this network's subnets"):
        elsewhere = ContainerNetwork(network="front", ipv4_address="10.1.1.1")
        lab.run("lost", mode="front", networks=(elsewhere,))


def test_a_container_is_connected_and_disconnected_while_it_runs(lab: Lab) -> None:
    """Its ports follow the way out; when nothing is left, they come back with the next network."""
    lab.network("front")
    lab.network("inner", internal=True)
    port = Port(target=80, published=8080, mode=PublishMode.HOST)
    web = lab.serve("web", ports=(port,))
    asker = lab.run("asker", mode="front")
    assert page(HERE, lab.land.address, 8080).strip() == "web"

    lab.connect("web", "front", aliases=("www",))
    await_name(asker.pid, "www", {lab.address("web", "front")})
    await_name(web.pid, "asker", {lab.address("asker")})
    assert f"{lab.address('web', 'front')}\tweb\n" in lab.file("web")
    with lab.refused("endpoint with name web already exists in network front"):
        lab.connect("web", "front")

    gone = lab.address("web", "bridge")
    lab.disconnect("web", "bridge")
    assert page(HERE, lab.land.address, 8080).strip() == "web"
    assert source(HERE, lab.land.address, 8080) == lab.land.manager
    assert gone not in lab.file("web")
    with lab.refused("is not connected to network bridge"):
        lab.disconnect("web", "bridge")

    lab.connect("web", "inner")
    lab.disconnect("web", "front")
    assert [each.network_name for each in lab.view("web").endpoints] == ["inner"]
    assert list(lab.view("web").ports) == []
    wait_for("the port is free", lambda: is_free(lab, 8080))
    lab.disconnect("web", "inner")
    assert list(lab.view("web").endpoints) == []
    lab.connect("web", "bridge")
    assert page(HERE, lab.land.address, 8080).strip() == "web"
    lab.stop("web")
    (endpoint,) = lab.view("web").endpoints
    assert (endpoint.network_name, endpoint.endpoint_id) == ("bridge", "")
    assert endpoint.network_id == lab.seen()["bridge"].network.id


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_the_network_of_a_container_is_known_from_its_first_start_on(lab: Lab, mode: str) -> None:
    made = create(lab.calls, "true", mode=mode, name="once")
    assert lab.view("once").endpoints[0].network_id == ""

    lab.start(made)

    wait_for("it is over", lambda: lab.view("once").state == pb.CONTAINER_STATE_EXITED)
    (endpoint,) = lab.view("once").endpoints
    assert (endpoint.network_id, endpoint.endpoint_id) == (lab.seen()[mode].network.id, "")


def test_a_stopped_container_is_connected_for_its_next_start(lab: Lab) -> None:
    lab.network("front", "10.99.0.0/24")
    create(lab.calls, *SLEEP, mode="bridge", name="web")

    lab.connect("web", "front", ipv4_address="10.99.0.9")
    (bridge, front) = lab.view("web").endpoints
    assert (list(front.addresses), front.asked.ipv4_address) == ([], "10.99.0.9")
    lab.start("web")

    assert lab.address("web", "front") == "10.99.0.9"
    assert bridge.network_name == "bridge"
    lab.stop("web")
    lab.disconnect("web", "bridge")
    lab.start("web")
    assert [each.network_name for each in lab.view("web").endpoints] == ["front"]
    with lab.refused("network nowhere not found"):
        lab.connect("web", "nowhere")
    with lab.refused("disconnected from host network or connected to host network"):
        lab.connect("web", "host")
    with lab.refused("private \\(none\\) mode"):
        lab.connect("web", "none")


def test_ports_are_published_as_asked_for_and_refused_by_name(lab: Lab) -> None:
    ports = (
        Port(target=80, published=8080, mode=PublishMode.HOST),
        Port(target=80, published=8081, ip="127.0.0.1", mode=PublishMode.HOST),
        Port(target=80, published=0, mode=PublishMode.HOST),
        Port(target=53, published=5353, protocol=Protocol.UDP, mode=PublishMode.HOST),
    )
    span = PortSpan(port=Port(target=80, published=8080), last=8083)
    web = lab.serve("web", ports=ports, port_spans=(span,), publish_all=True, exposed=("99/tcp",))

    found = {(each.target, each.published): each for each in web.ports}
    assert (80, 8082) in found, "8080 and 8081 are taken"
    random = next(each.published for each in web.ports if each.published >= 32768)
    assert [each.target for each in web.ports].count(99) == 1
    for number in (8080, 8082, random):
        assert page(HERE, lab.land.address, number).strip() == "web"
        assert page(lab.land.path, "127.0.0.1", number).strip() == "web"
    assert page(lab.land.path, "127.0.0.1", 8081).strip() == "web"
    with pytest.raises(OSError):
        page(HERE, lab.land.address, 8081)
    assert page(web.pid, lab.land.address, 8080).strip() == "web", "it reaches itself"

    for each in (ports[0], Port(target=1, published=8081, mode=PublishMode.HOST)):
        words = f"Bind for 0.0.0.0:{each.published} failed: port is already allocated"
        with lab.refused(words) as refused:
            lab.run("late", ports=(each,))
        told = dict(refused.value.trailing_metadata())["swarm-error-bin"]  # type: ignore[attr-defined]
        assert b"is published by container web" in told
        lab.calls.RemoveContainer(pb.RemoveContainerRequest(container="late", force=True))
    with listening(lab, 9000), lab.refused("host port 0.0.0.0:9000/tcp: address already in use"):
        lab.run("later", ports=(Port(target=1, published=9000, mode=PublishMode.HOST),))

    lab.restart_agent()
    assert page(HERE, lab.land.address, random).strip() == "web", (
        "it stays while the container runs"
    )
    lab.stop("web")
    wait_for("the ports are free", lambda: all(is_free(lab, x) for x in (8080, 8081, random)))


def test_a_removed_container_leaves_its_port_at_once_whoever_talks_to_it(lab: Lab) -> None:
    port = Port(target=80, published=8080, mode=PublishMode.HOST)
    for number in range(3):
        name = f"web{number}"
        lab.serve(name, ports=(port,))  # where the last one has just been
        assert page(HERE, lab.land.address, 8080).strip() == name
        with calling(HERE, lab.land.address, 8080):
            lab.calls.RemoveContainer(
                pb.RemoveContainerRequest(container=name, force=True), timeout=20
            )

        rules = subprocess.run(
            ("nsenter", f"--net={lab.land.path}", "nft", "list", "ruleset"),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ". 8080" not in rules.stdout


def test_the_host_is_reached_by_the_gateways_address(lab: Lab) -> None:
    lab.network("front")
    lab.network("inner", internal=True)
    with listening(lab, 9000):
        for mode in ("bridge", "front"):
            web = lab.run(f"in-{mode}", mode=mode)
            gateway = web.endpoints[0].gateways[0]
            assert connects(web.pid, gateway, 9000), mode
        inside = lab.run("in-inner", mode="inner")
        assert list(inside.endpoints[0].gateways) == []
        assert not connects(inside.pid, lab.land.address, 9000)


def test_links_are_known_in_the_bridge_and_follow_a_restart(lab: Lab) -> None:
    lab.serve("db", env=("PGDATA=/data",), exposed=("80/tcp",))
    lab.run("filler")
    lab.run("web", links=("db:database",))

    first = lab.address("db")
    assert f"{first}\tdatabase db\n" in lab.file("web")
    environment = wait_for_environ(lab, "web")
    assert f"DATABASE_PORT_80_TCP_ADDR={first}" in environment
    assert "DATABASE_ENV_PGDATA=/data" in environment
    assert "DATABASE_NAME=/web/database" in environment

    lab.stop("db")
    lab.run("other")
    lab.start("db")
    now = lab.address("db")
    wait_for("its line says so", lambda: f"{now}\tdatabase db\n" in lab.file("web"))
    assert lab.file("web").count("database") == 1
    lab.stop("db")
    with lab.refused("Cannot link to a non running container: /db AS /late/db"):
        lab.run("late", links=("db",))


def test_links_in_other_networks_are_nicknames_of_whoever_has_the_name(lab: Lab) -> None:
    lab.network("front")
    member = ContainerNetwork(network="front", links=("upstream:bar",))
    web = lab.run("web", mode="front", networks=(member,))
    other = lab.run("other", mode="front")

    lab.serve("upstream", "front")

    await_name(web.pid, "bar", {lab.address("upstream")})
    await_name(web.pid, "bar.front", {lab.address("upstream")})
    assert lab.address("upstream") not in nothing_or(other.pid, "bar")


def test_a_container_may_have_the_network_of_another(lab: Lab) -> None:
    web = lab.serve("web")
    joined = lab.run("joined", mode=f"container:{web.id[:20]}")

    assert page(joined.pid, "127.0.0.1").strip() == "web"
    homes = {Path(f"/proc/{each.pid}/ns/net").readlink() for each in (web, joined)}
    assert len(homes) == 1
    assert lab.file("joined") == lab.file("web")
    lab.network("front")
    lab.connect("web", "front")
    assert lab.address("web", "front") in lab.file("joined"), "the file is one and the same"
    assert list(lab.view("joined").endpoints) == []
    with lab.refused("sharing network namespace with another container"):
        lab.connect("joined", "front")
    lab.stop("joined")
    lab.stop("web")
    with lab.refused("cannot join network of a non running container"):
        lab.start("joined")


def test_a_killed_agent_cuts_no_connection_and_its_successor_knows_all(lab: Lab) -> None:
    """kill -9 amid calls to a published port and by name; then containers go on being changed."""
    lab.network("front")
    port = Port(target=80, published=8080, mode=PublishMode.HOST)
    web = lab.serve("web", "front", ports=(port,))
    asker = lab.run("asker", mode="front")
    lab.serve("bridged")
    before = lab.view("web")
    with (
        calling(HERE, lab.land.address, 8080) as outside,
        calling(asker.pid, lab.address("web")) as inside,
    ):
        wait_for("called often", lambda: len(outside.answers) > 20 and len(inside.answers) > 20)
        lab.restart_agent()
        count = len(outside.answers)
        wait_for("called on", lambda: len(outside.answers) > count + 40)
    assert outside.failures == inside.failures == []
    after = lab.view("web")
    assert (after.endpoints, after.ports, after.pid) == (before.endpoints, before.ports, web.pid)
    await_name(asker.pid, "web", {lab.address("web")})
    late = lab.run("late", mode="front")
    assert lab.address("late") not in {lab.address("web"), lab.address("asker")}
    await_name(late.pid, "web", {lab.address("web")})
    lab.connect("bridged", "front")
    assert page(asker.pid, lab.address("bridged", "front")).strip() == "bridged"
    lab.stop("web")
    wait_for("its name is gone", lambda: not nothing_or(asker.pid, "web"))


def test_what_ended_while_no_agent_looked_is_in_no_network(lab: Lab) -> None:
    lab.network("front")
    lab.run("gone", mode="front")
    asker = lab.run("asker", mode="front")
    wait_for("it is known", lambda: nothing_or(asker.pid, "gone"))

    lab.here.stop_agent(signal.SIGKILL)
    os.kill(lab.here.pids()[gone_id(lab, "gone")], signal.SIGKILL)
    wait_for("it has ended", lambda: gone_id(lab, "gone") not in lab.here.pids())
    (lab.here.run_root / "agent.sock").unlink(missing_ok=True)
    lab.here.start_agent()
    lab.calls = lab.here.containers()
    lab.networks = lab.served()

    assert [each.container_name for each in lab.seen()["front"].endpoints] == ["asker"]
    wait_for("its name is gone", lambda: not nothing_or(asker.pid, "gone"))


def test_after_a_reboot_networks_are_made_anew_around_what_starts(lab: Lab) -> None:
    """Of the kernel's state nothing is left; what was written down is all there."""
    network_id = lab.network("front", "10.99.0.0/24")
    port = Port(target=80, published=8080, mode=PublishMode.HOST)
    lab.serve("web", "front", ports=(port,))

    lab.here.stop_agent(signal.SIGKILL)
    for pid in lab.here.pids().values():
        os.kill(pid, signal.SIGKILL)
    wait_for("all have ended", lambda: not lab.here.pids())
    wipe(lab)
    lab.here.start_agent()
    lab.calls, lab.networks = lab.here.containers(), lab.served()

    assert lab.seen()["front"].network.id == network_id
    assert list(lab.seen()["front"].endpoints) == []
    lab.start("web")
    assert lab.address("web") == "10.99.0.2"
    wait_for("it serves", lambda: reached(HERE, lab.land.address, 8080))


# --- what the stories ask -----------------------------------------------------------------------


def gone_id(lab: Lab, name: str) -> str:
    for each in (lab.here.data_root / "agent/standalone").glob("*/container.json"):
        if f'"name":"{name}"' in each.read_text():
            return each.parent.name
    raise AssertionError(f"there is no {name}")


def reached(place: int | Path, address: str, port: int = 80) -> bool:
    try:
        return bool(page(place, address, port))
    except OSError:
        return False


def nothing_or(place: int, name: str) -> set[str]:
    """What a name stands for; nothing where there is nobody to ask, as on an island."""
    try:
        return resolve(place, name)
    except OSError:
        return set()


def await_name(place: int, name: str, expected: set[str], *, ipv6: bool = False) -> None:
    """On a busy machine a question may go unanswered, as it may anywhere."""

    def is_known() -> bool:
        try:
            return resolve(place, name, ipv6=ipv6) == expected
        except OSError:
            return False

    wait_for(f"{name} stands for {expected}", is_known)


def wipe(lab: Lab) -> None:
    """Take away what a reboot takes away."""
    routers = lab.here.run_root / "netns"
    for name in namespaces.names(routers):
        namespaces.remove(routers / name)
    for each in (lab.here.run_root / "connections").iterdir():
        each.unlink()
    for name in ("bridge", "agent.sock"):
        (lab.here.run_root / name).unlink(missing_ok=True)
    for line in lab.land.ip("-o", "link").splitlines():
        link = line.split()[1].partition("@")[0].rstrip(":")
        if link.startswith("sw-"):  # the other end may be taking it along just now
            subprocess.run(("ip", "-n", lab.land.name, "link", "del", link), check=False)
    netns = netns_of(lab.land.path)
    try:
        nft.load("flush ruleset\n", netns)
    finally:
        os.close(netns)


def wait_for_environ(lab: Lab, name: str) -> str:
    """What its program was given; nothing is there while the kernel still puts it in place."""
    path = Path(f"/proc/{lab.view(name).pid}/environ")
    wait_for("its environment", path.read_text)
    return path.read_text().replace("\0", "\n")


def is_free(lab: Lab, port: int) -> bool:
    netns = netns_of(lab.land.path)
    try:
        with namespaces.entered(netns), socket.socket() as probe:
            probe.bind(("0.0.0.0", port))
            return True
    except OSError:
        return False
    finally:
        os.close(netns)


@contextlib.contextmanager
def listening(lab: Lab, port: int) -> Generator[None]:
    """A program of the host's that takes connections."""
    netns = netns_of(lab.land.path)
    try:
        with namespaces.entered(netns), socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0", port))
            server.listen()
            serving = threading.Thread(target=accept_all, args=(server,))
            serving.start()
            try:
                yield
            finally:
                server.shutdown(socket.SHUT_RDWR)
                serving.join()
    finally:
        os.close(netns)


def accept_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def connects(place: int, address: str, port: int) -> bool:
    netns = netns_of(place)
    try:
        with namespaces.entered(netns), socket.socket() as client:
            client.settimeout(5.0)
            client.connect((address, port))
            return True
    except OSError:
        return False
    finally:
        os.close(netns)
