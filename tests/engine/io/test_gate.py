"""Clients on other hosts, over real TLS: who is let in, to what, and for how long."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.heads import Head
from engine.io import server as module
from engine.io.connection import Connection
from engine.io.gate import Gate
from engine.io.roster import Roster
from engine.io.server import Server
from engine.io.wires import TlsWire
from engine.replies import text
from swarm.certificates import Identity, key_pem
from swarm.errors import Missing
from swarm.ids import NodeId
from swarm.io.identity import IdentityFiles
from swarm.io.log import configure
from swarm.specs import Role
from swarm.tokens import anchor_of, parse_token
from tests.trust import DAY_S, Swarm, forge

LOG = configure("test")
NOW = time.time()


class OtherSide:
    """Has our pump speak TLS as a client."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(self, arriving: ssl.MemoryBIO, leaving: ssl.MemoryBIO, **_: bool) -> ssl.SSLObject:
        return self._context.wrap_bio(arriving, leaving)


class Client:
    """One connection of a client that shows a certificate, and closes its directions apart."""

    def __init__(self, swarm: Swarm, identity: Identity | None, tmp_path: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.load_verify_locations(cadata=swarm.cluster.root_certificate.decode())
        if identity is not None:
            bundle = tmp_path / "client.pem"
            bundle.write_bytes(identity.bundle)
            self._context.load_cert_chain(bundle)

    async def connect(self, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(self.sock, address)
        self.wire = TlsWire(self.sock, OtherSide(self._context))  # type: ignore[arg-type]
        await self.wire.shake_hands()

    async def ask(self, line: str = "GET /info HTTP/1.1") -> str:
        await self.wire.write(f"{line}\r\nHost: x\r\n\r\n".encode())
        return await self.read_until("\r\n\r\n")

    async def read_until(self, end: str) -> str:
        found = ""
        async with asyncio.timeout(30):
            while end not in found:
                data = await self.wire.read(1 << 16)
                if not data:
                    break
                found += data.decode()
        return found

    async def is_closed(self) -> bool:
        async with asyncio.timeout(30):
            try:
                while await self.wire.read(1 << 16):
                    pass
            except OSError:
                pass
        return True

    def close(self) -> None:
        self.sock.close()


class World:
    """A server that answers with the caller's request, behind the gate of a manager's host."""

    def __init__(self, tmp_path: Path, role: Role) -> None:
        self.tmp_path = tmp_path
        self.swarm = Swarm(NOW)
        self.files = IdentityFiles(tmp_path / "certificates")
        self.files.install(self.swarm.node(role, "host1"))
        self.roles: dict[str, Role] = {"m2": Role.MANAGER, "w2": Role.WORKER}
        self.now = NOW
        self.monotonic = 0.0
        roster = Roster(self._role, now=lambda: self.monotonic)
        self.gate = Gate(self.files, roster, now=lambda: self.now)
        self.server = Server(self._answer, log=LOG)
        self.clients: list[Client] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.server.listen(listener, gate=self.gate)

    async def _role(self, node_id: NodeId) -> Role:
        if node_id not in self.roles:
            raise Missing(f"no node {node_id}")
        return self.roles[node_id]

    async def _answer(self, connection: Connection, head: Head) -> None:
        assert connection.objection is not None
        if reason := await connection.objection(head.method, head.path):
            await connection.reply(text(reason, status=403))
        elif head.path == "/echo":
            pipe = await connection.take_over(head, content_type="")
            collected = b""
            while data := await pipe.read():
                collected += data
            await pipe.write(b"you said: " + collected)
            await pipe.end()
        else:
            await connection.reply(text("hello"))

    async def client(self, identity: Identity | None) -> Client:
        client = Client(self.swarm, identity, self.tmp_path)
        self.clients.append(client)
        await client.connect(self.address)
        return client

    async def refused(self, identity: Identity | None) -> bool:
        """Whether the client gets nothing: TLS 1.3 lets it speak before it hears of that."""
        try:
            client = await self.client(identity)
            return "HTTP" not in await client.ask()
        except OSError:
            return True

    async def close(self) -> None:
        for each in self.clients:
            each.close()
        await self.server.close()


def within(
    tmp_path: Path, story: Callable[[World], Awaitable[None]], *, role: Role = Role.MANAGER
) -> None:
    async def run() -> None:
        world = World(tmp_path, role)
        try:
            await story(world)
        finally:
            await world.close()

    asyncio.run(run())


def test_a_manager_is_let_in_and_a_worker_only_to_the_door(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        manager = await world.client(world.swarm.node(Role.MANAGER, "m2"))
        worker = await world.client(world.swarm.node(Role.WORKER, "w2"))

        assert " 200 " in await manager.ask("GET /containers/json HTTP/1.1")
        assert " 200 " in await worker.ask("GET /info HTTP/1.1")
        refused = await worker.ask("GET /containers/json HTTP/1.1")
        assert " 403 " in refused

    within(tmp_path, story)


def test_strangers_are_let_in_to_nothing(tmp_path: Path) -> None:
    """Nobody's certificate; another swarm's; a token holder's, whatever it writes into it."""

    async def story(world: World) -> None:
        swarm = world.swarm
        anchor = anchor_of(parse_token(swarm.token(Role.MANAGER)))
        key, forged = forge(anchor.key, anchor.certificate, now=NOW, ou="swarm-manager")
        as_manager = Identity(key=key_pem(key), certificate=forged, root=swarm.anchors.pem)
        other = Swarm(NOW, seed=2, name="swarm2")
        for identity in (
            None,
            other.node(Role.MANAGER, "m2"),
            swarm.joiner(Role.MANAGER),
            as_manager,
        ):
            assert await world.refused(identity)

    within(tmp_path, story)


def test_a_certificate_that_expires_on_an_open_connection_is_worth_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = await world.client(world.swarm.node(Role.MANAGER, "m2", expiry_s=DAY_S))
        assert " 200 " in await client.ask()

        world.now += DAY_S + 1

        assert " 403 " in await client.ask()

    within(tmp_path, story)


def test_who_was_removed_or_demoted_is_refused_on_an_open_connection(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        removed = await world.client(world.swarm.node(Role.MANAGER, "m2"))
        assert " 200 " in await removed.ask()
        world.roles["m2"] = Role.WORKER
        world.monotonic += 10
        assert " 403 " in await removed.ask("GET /containers/json HTTP/1.1")
        assert " 200 " in await removed.ask("GET /info HTTP/1.1")
        del world.roles["m2"]
        world.monotonic += 10
        assert " 403 " in await removed.ask("GET /info HTTP/1.1")

    within(tmp_path, story)


def test_a_renewal_counts_for_the_next_and_breaks_off_nobody(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        identity = world.swarm.node(Role.MANAGER, "m2")
        before = await world.client(identity)
        await before.ask()

        world.files.install(world.swarm.node(Role.MANAGER, "host1"))
        after = await world.client(identity)

        assert " 200 " in await before.ask()
        assert " 200 " in await after.ask()
        shown = [each.wire._tls.getpeercert(binary_form=True) for each in (before, after)]
        assert shown[0] != shown[1]

    within(tmp_path, story)


@pytest.mark.parametrize("is_removed", [True, False])
def test_what_takes_long_ends_when_its_client_is_let_in_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_removed: bool
) -> None:
    """Somebody is attached when the node leaves the swarm, or when he is removed from it."""
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.01)

    async def story(world: World) -> None:
        client = await world.client(world.swarm.node(Role.MANAGER, "m2"))
        assert "200" in await client.ask("POST /echo HTTP/1.1")

        if is_removed:
            del world.roles["m2"]
        else:
            world.files.forget()
        world.monotonic += 10

        assert await client.is_closed()

    within(tmp_path, story)


def test_a_node_without_a_swarm_lets_nobody_in(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        identity = world.swarm.node(Role.MANAGER, "m2")
        world.files.forget()

        assert await world.refused(identity)

        world.files.install(world.swarm.node(Role.MANAGER, "host1"))
        client = await world.client(identity)
        assert " 200 " in await client.ask()

    within(tmp_path, story)


def test_a_client_that_has_said_all_still_hears_the_answer(tmp_path: Path) -> None:
    """`docker attach` ends its direction and waits for the output: TLS has a word for that."""

    async def story(world: World) -> None:
        client = await world.client(world.swarm.node(Role.MANAGER, "m2"))
        await client.ask("POST /echo HTTP/1.1")

        await client.wire.write(b"x" * 300_000)
        await client.wire.end()

        answer = await client.read_until("never")
        assert answer == "you said: " + "x" * 300_000

    within(tmp_path, story)


def test_beside_a_worker_a_managers_certificate_is_enough(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.roles.clear()
        client = await world.client(world.swarm.node(Role.MANAGER, "m2"))

        assert " 200 " in await client.ask("GET /containers/json HTTP/1.1")

    within(tmp_path, story, role=Role.WORKER)
