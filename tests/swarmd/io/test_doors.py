"""The sockets of Docker's clients: who is let in before there is an engine, and who never."""

import asyncio
import contextlib
import grp
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from swarm.errors import Refused
from swarm.io.log import configure
from swarmd.io import doors as module
from swarmd.io import notify
from swarmd.io.doors import SOCKET_FLAG, TLS_FLAG, Doors
from swarmd.settings import Settings
from tests.etcd import free_port

LOG = configure("test")


class World:
    """Doors of a node that is in a swarm, or not."""

    def __init__(self, settings: Settings) -> None:
        self.calls: list[dict[str, int]] = []
        self.path = settings.run / "docker.sock"
        self.is_member = False
        self.doors = Doors(
            settings,
            knocked=lambda found: self.calls.append(dict(found)),
            lets_in=lambda: self.is_member,
            log=LOG,
        )

    async def called(self) -> dict[str, int]:
        async with asyncio.timeout(30):
            while not self.calls:
                await asyncio.sleep(0.001)
        return self.calls[0]


def within(settings: Settings, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World(settings)
        world.doors.open()
        try:
            await story(world)
        finally:
            world.doors.close()

    asyncio.run(run())


@contextmanager
def knocking(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        yield client


def roots(tmp_path: Path, **fields: str) -> Settings:
    return Settings(data_root=str(tmp_path), run_root=str(tmp_path), **fields)  # type: ignore[arg-type]


def test_the_first_client_calls_for_the_engine_and_waits_for_it(tmp_path: Path) -> None:
    """Two connect, what they say is not lost, and the engine is called for once."""
    path = tmp_path / "docker.sock"

    async def story(world: World) -> None:
        with knocking(path) as one, knocking(path) as two:
            one.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
            found = await world.called()
            await asyncio.sleep(0)
            assert world.calls == [found]

            heir = socket.socket(fileno=socket.dup(found[SOCKET_FLAG]))
            with heir, heir.accept()[0] as first, heir.accept()[0] as second:
                assert first.recv(100).startswith(b"GET /_ping")
                second.sendall(b"hello")
                assert two.recv(100) == b"hello"

    within(roots(tmp_path), story)

    assert not path.exists()


def test_nobody_calls_for_an_engine_that_nobody_needs(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(0.05)
        assert world.calls == []

    within(roots(tmp_path), story)


def test_without_a_group_the_socket_is_roots_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROUP", "no-such-group-here")

    async def story(world: World) -> None:
        assert stat.S_IMODE((tmp_path / "docker.sock").stat().st_mode) == 0o600

    within(roots(tmp_path), story)


def test_a_group_of_that_name_may_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = grp.getgrgid(1)
    monkeypatch.setattr(module, "GROUP", group.gr_name)

    async def story(world: World) -> None:
        status = (tmp_path / "docker.sock").stat()
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert (status.st_uid, status.st_gid) == (0, 1)

    within(roots(tmp_path), story)


def test_a_socket_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def story(world: World) -> None:
        with knocking(path):
            await world.called()

    within(roots(tmp_path), story)


def test_a_socket_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        with pytest.raises(Refused, match="somebody listens there already"):
            within(roots(tmp_path, docker_socket=str(path)), lambda world: asyncio.sleep(0))

        with knocking(path):
            pass


@pytest.mark.parametrize(("name", "words"), [("file", "no socket"), ("no/such", "No such file")])
def test_what_cannot_be_a_socket_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("precious")

    with pytest.raises(Refused, match=words):
        within(roots(tmp_path, docker_socket=str(tmp_path / name)), lambda world: asyncio.sleep(0))

    assert (tmp_path / "file").read_text() == "precious"


def test_none_means_none(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert not list(tmp_path.iterdir())

    within(roots(tmp_path, docker_socket="none"), story)


def test_over_the_network_nobody_knocks_at_a_node_without_a_swarm(tmp_path: Path) -> None:
    """1. A client connects while the node is in no swarm: it is sent away, nothing is started.
    2. The node joins one: the next client waits for the engine.
    """
    port = free_port()

    async def story(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
        assert world.calls == []

        world.is_member = True
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        assert world.calls or (await world.called()).keys() == {TLS_FLAG}
        writer.close()

    within(roots(tmp_path, docker_socket="none", docker_addr=f"127.0.0.1:{port}"), story)


def test_an_address_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"

        with pytest.raises(Refused, match="Address already in use"):
            within(roots(tmp_path, docker_addr=address), lambda world: asyncio.sleep(0))


def test_an_address_that_comes_later_in_the_boot_is_waited_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert world.calls == []

    within(roots(tmp_path, docker_addr="192.0.2.77:23760"), story)


class ServiceManager:
    """Keeps what it is given for the next process, as systemd does."""

    def __init__(self, directory: Path) -> None:
        self.address = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._socket.setblocking(False)
        self.kept: dict[str, int] = {}

    def hear(self) -> None:
        """Take what was said since."""
        with contextlib.suppress(BlockingIOError):
            while True:
                said, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 4)
                lines = dict(line.split("=", 1) for line in said.decode().splitlines())
                if "FDSTORE" in lines:
                    self.kept[lines["FDNAME"]] = descriptors[0]
                elif "FDSTOREREMOVE" in lines:
                    os.close(self.kept.pop(lines["FDNAME"]))

    def pass_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the next process find what is kept."""
        self.hear()
        first = 100
        for number, descriptor in enumerate(self.kept.values(), first):
            os.dup2(descriptor, number)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", str(len(self.kept)))
        monkeypatch.setenv("LISTEN_FDNAMES", ":".join(self.kept))
        monkeypatch.setattr(notify, "stored", partial(notify.stored, first=first))

    def close(self) -> None:
        for each in self.kept.values():
            os.close(each)
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    found = ServiceManager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(found.address))
    yield found
    found.close()


async def knock(world: World) -> None:
    with knocking(world.path):
        await world.called()


def test_a_socket_that_a_container_has_mounted_is_the_same_after_a_restart(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd starts swarmd again, after a crash or for an upgrade."""
    path = tmp_path / "docker.sock"
    within(roots(tmp_path), knock)
    before = path.stat().st_ino

    manager.pass_on(monkeypatch)
    within(roots(tmp_path), knock)

    assert path.stat().st_ino == before
    assert "LISTEN_FDS" not in os.environ, "nobody else is to find them"


def test_a_socket_that_somebody_has_removed_is_made_anew(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    within(roots(tmp_path), knock)
    (tmp_path / "docker.sock").unlink()

    manager.pass_on(monkeypatch)
    within(roots(tmp_path), knock)

    manager.hear()
    assert len(manager.kept) == 1


def test_a_socket_that_moves_is_given_back(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    within(roots(tmp_path), knock)

    manager.pass_on(monkeypatch)
    within(roots(tmp_path, docker_socket="none"), lambda world: asyncio.sleep(0))

    manager.hear()
    assert manager.kept == {}
