"""Run a real etcd for a test: a swarm's certificates, free ports, no trace afterwards."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import SystemRandom

from msgspec import Struct, structs

from manager.ca.authority import Authority, make_root
from manager.ca.issuing import issue
from manager.io.etcd import EtcdStore, Target
from swarm.certificates import Identity, key_pem, make_key
from swarm.ids import ClusterId, NodeId
from swarm.specs import Role
from swarmd.etcd import EtcdConfig, Member
from tests.etcd_process import EtcdProcess

_RANDOM = SystemRandom()


def issue_identity(
    authority: Authority, role: Role, *, name: str = "node", addresses: tuple[str, ...] = ()
) -> Identity:
    """A node's key and certificate, as the swarm's own authority would give it."""
    key = make_key(_RANDOM)
    certificate = issue(
        authority,
        key.public_key(),
        node_id=NodeId(name),
        role=role,
        expiry_s=86_400.0,
        now=time.time(),
        random=_RANDOM,
        addresses=addresses,
    )
    return Identity(key=key_pem(key), certificate=certificate, root=authority.pem)


def found_authority() -> Authority:
    """The root of a swarm of its own."""
    return make_root(ClusterId("cluster"), now=time.time(), random=_RANDOM)


class Rig(Struct, frozen=True):
    """Everything that a test needs to run one member, and to talk to it."""

    authority: Authority
    config: EtcdConfig
    identity: Identity
    log_file: Path

    @property
    def target(self) -> Target:
        """How a manager reaches this member."""
        return Target(endpoints=(self.config.client_url,), identity=self.identity)

    def process(self) -> EtcdProcess:
        """Another run of this member."""
        return EtcdProcess(self.config, log_file=self.log_file)


def build_rig(root: Path, authority: Authority | None = None, host: str = "127.0.0.1") -> Rig:
    """Lay out a member below `root` that meets its peers at `host`."""
    authority = authority or found_authority()
    name = f"node-{host}"
    identity = issue_identity(authority, Role.MANAGER, name=name, addresses=("127.0.0.1", host))
    root.mkdir(parents=True, exist_ok=True)
    (root / "root.crt").write_bytes(identity.root)
    (root / "identity.pem").write_bytes(identity.bundle)
    peer_url = f"https://{host}:{free_port(host)}"
    config = EtcdConfig(
        name=name,
        data_dir=root / "etcd",
        client_url=f"https://127.0.0.1:{free_port()}",
        peer_url=peer_url,
        root_file=root / "root.crt",
        identity_file=root / "identity.pem",
        members=(Member(name, peer_url),),
    )
    return Rig(authority, config, identity, root / "etcd.log")


def build_cluster(root: Path, hosts: Sequence[str]) -> list[Rig]:
    """Lay out members that found a cluster together."""
    authority = found_authority()
    rigs = [build_rig(root / host, authority, host) for host in hosts]
    members = tuple(Member(rig.config.name, rig.config.peer_url) for rig in rigs)
    return [
        structs.replace(rig, config=structs.replace(rig.config, members=members)) for rig in rigs
    ]


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[EtcdProcess]:
    """A member that serves, stopped afterwards come what may."""
    process = rig.process()
    await process.start()
    try:
        await process.wait_ready()
        yield process
    finally:
        await process.stop()


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[EtcdStore]:
    """A store on `target`, closed afterwards."""
    store = EtcdStore(target)
    try:
        yield store
    finally:
        await store.close()


async def kill(process: EtcdProcess) -> None:
    """End etcd as the kernel does when memory runs out, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, 9)
    async with asyncio.timeout(30):
        await process.wait()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has at this moment, nor is given by a kernel that is asked for any."""
    while True:
        port = _RANDOM.randrange(10_000, 30_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind((host, port))
            return port
