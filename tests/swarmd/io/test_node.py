"""Which parts a node has, in a swarm and without one, and what a crash in between leaves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.config import Config, parse
from engine.config import parse as parse_engine
from swarm.errors import Refused, Unavailable
from swarm.ids import ClusterId, NodeId
from swarm.io.log import configure
from swarm.specs import Availability, ClusterSpec, Role
from swarmd.io import files, founding
from swarmd.io.node import Node
from swarmd.parts import Part
from swarmd.settings import Membership, Settings
from tests.trust import Swarm

LOG = configure("test")
MEMBER = Membership(
    node_id=NodeId("node1"),
    cluster_id=ClusterId("swarm1"),
    role=Role.WORKER,
    listen_addr="0.0.0.0:2377",
    advertise_addr="10.0.0.2:2377",
    managers=("10.0.0.1:2377",),
)


class FakeSupervisor:
    """Runs nothing, and writes down what should run and in which order it came to that."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.done: list[str] = []

    def want(self, part: Part) -> None:
        self.parts[part.name] = part
        self.done.append(f"start {part.name}")

    async def stop(self, name: str, **how: object) -> None:
        if self.parts.pop(name, None) is not None:
            self.done.append(f"stop {name}")

    async def stop_all(self) -> None:
        for name in list(self.parts):
            await self.stop(name)


class World:
    """A node on a host whose processes are only talked about."""

    def __init__(self, base: Path) -> None:
        self.settings = Settings(
            data_root=str(base / "data"), run_root=str(base / "run"), hostname="host1"
        )
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self.settings.run.mkdir(parents=True, exist_ok=True)
        self.node = Node(self.settings, LOG)
        self.supervisor = FakeSupervisor()
        self.node.supervisor = self.supervisor  # type: ignore[assignment]

    @property
    def agent(self) -> Config:
        """What the agent is told."""
        assert "agent" in self.supervisor.parts
        return parse((self.settings.run / "agent.json").read_bytes(), name="agent.json")


def within(base: Path, *stories: Callable[[World], Awaitable[None]]) -> None:
    """Each story with a swarmd of its own, one after the other; none of them is stopped."""

    async def run() -> None:
        for story in stories:
            world = World(base)
            try:
                await story(world)
            finally:
                if world.node._renewing is not None:
                    world.node._renewing.cancel()

    asyncio.run(run())


def test_a_host_that_never_heard_of_a_swarm_has_a_launcher_and_an_agent(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.node.resume()

        assert world.supervisor.done == ["start launcher", "start agent"]
        assert world.agent.is_alone
        assert world.agent.managers == ()
        assert world.agent.hostname == "host1"
        assert world.node.membership is None

    within(tmp_path, story)


def test_a_member_goes_on_as_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        files.write(world.settings.membership_file, MEMBER)
        world.node.identity.install(Swarm(time.time()).node())

        await world.node.resume()

        assert world.supervisor.done == ["start launcher", "start agent"]
        assert world.agent.node_id == "node1"
        assert world.agent.managers == ("10.0.0.1:2377",)
        assert world.agent.advertise_host == "10.0.0.2"

    within(tmp_path, story)


def test_who_crashed_before_it_was_a_member_shows_nobodys_identity(tmp_path: Path) -> None:
    """Joining writes the identity first and the membership last.

    The key it asked with stays: whoever asks again has to be given the same node.
    """

    async def story(world: World) -> None:
        identity = Swarm(time.time()).node()
        world.node.identity.install(identity)
        world.node.identity.pending.write_bytes(identity.key)

        await world.node.resume()

        assert world.agent.is_alone
        assert world.node.identity.load() is None
        assert world.node.identity.pending.read_bytes() == identity.key

    within(tmp_path, story)


def test_a_founding_that_fails_leaves_the_agent_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise Unavailable("etcd does not serve")

    monkeypatch.setattr(founding.Foundation, "store", refuse)

    async def story(world: World) -> None:
        await world.node.resume()

        with pytest.raises(Unavailable):
            await world.node.init(
                ClusterSpec(),
                advertise="127.0.0.1",
                listen="127.0.0.1:23777",
                availability=Availability.ACTIVE,
            )

        assert world.supervisor.done[2:] == ["start etcd", "stop etcd"]
        assert world.agent.is_alone
        assert world.node.membership is None
        assert world.node.identity.load() is None
        assert not world.settings.data_key_file.exists()

    within(tmp_path, story)


def test_founding_starts_the_agent_anew_and_only_then_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. The node founds a swarm: the agent gets another configuration, the launcher goes on.
    2. swarmd is killed; the next one finds the same swarm.
    """

    async def store(*_: object) -> None:
        pass

    monkeypatch.setattr(founding.Foundation, "store", store)

    async def found(world: World) -> None:
        await world.node.resume()
        await world.node.init(
            ClusterSpec(),
            advertise="127.0.0.1",
            listen="127.0.0.1:23777",
            availability=Availability.ACTIVE,
        )

        assert world.supervisor.done[2:] == [
            "start etcd",
            "start etcd",  # wanted again; it runs
            "start manager",
            "stop agent",
            "start agent",
        ]
        assert world.agent.managers == ("127.0.0.1:23777",)
        with pytest.raises(Refused, match="already part"):
            await world.node.join(
                "x", "10.0.0.1:2377", advertise="", listen="", availability=Availability.ACTIVE
            )

    async def again(world: World) -> None:
        await world.node.resume()

        assert list(world.supervisor.parts) == ["launcher", "etcd", "manager", "agent"]
        assert not world.agent.is_alone

    within(tmp_path, found, again)


def test_the_engine_is_told_where_everything_is_and_gets_the_doors(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.node.resume()

        world.node.start_engine({"--socket-fd": 7, "--tls-fd": 9})

        part = world.supervisor.parts["engine"]
        assert part.descriptors == (7, 9)
        assert part.argv[-4:] == ("--socket-fd", "7", "--tls-fd", "9")
        config = parse_engine((world.settings.run / "engine.json").read_bytes(), name="engine.json")
        assert config.swarmd_socket == str(world.settings.socket)
        assert config.agent_socket == str(world.settings.agent_socket)
        assert config.docker_socket == str(world.settings.run / "docker.sock")

    within(tmp_path, story)
