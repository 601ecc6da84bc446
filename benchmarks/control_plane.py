"""Start one manager and its etcd as swarmd does, and account for what they use.

The swarm is founded by the real authority, and its nodes are written as enrolling them would
have: what is measured afterwards are real processes, real mutual TLS and a real store.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

import msgspec
from msgspec import Struct

from manager import layout
from manager.bootstrap import first_commit
from manager.ca.issuing import issue
from manager.ca.vault import Founded, found
from manager.config import Config
from manager.io.etcd import EtcdStore, Target
from manager.store import Commit, Put
from swarm.certificates import Identity, key_pem, make_key
from swarm.codec import pack
from swarm.errors import Unavailable
from swarm.ids import ClusterId, NodeId, make_id
from swarm.io.identity import IdentityFiles
from swarm.io.private import save_data_key
from swarm.objects import Node
from swarm.sealing import make_data_key
from swarm.specs import ClusterSpec, NodeSpec, Role
from swarmd import etcd

TICKS = os.sysconf("SC_CLK_TCK")
RANDOM = SystemRandom()
WRITTEN_AT_ONCE = 1000


class Usage(Struct, frozen=True, kw_only=True):
    """What a process has used: CPU seconds so far, memory at present and at most (MiB)."""

    cpu_s: float
    rss_mib: float
    peak_mib: float
    pss_mib: float


def usage(pid: int) -> Usage:
    """Look at a process (proc(5))."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return Usage(
        cpu_s=cpu_s(pid),
        rss_mib=int(status["VmRSS"].split()[0]) / 1024,
        peak_mib=int(status["VmHWM"].split()[0]) / 1024,
        pss_mib=pss / 1024,
    )


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used; cheap enough to ask at every turn."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class ControlPlane:
    """A founded swarm whose state and files lie below `root`."""

    def __init__(self, root: Path, *, spec: ClusterSpec) -> None:
        self.root = root
        self.port, client, peer = free_ports(3)
        self.address = f"127.0.0.1:{self.port}"
        self.node_id = NodeId("manager")
        self._data_key = make_data_key(RANDOM)
        self.founded: Founded = found(
            ClusterId(make_id(RANDOM)),
            spec,
            data_key=self._data_key,
            now=time.time(),
            random=RANDOM,
        )
        self.identity = self.certify(self.node_id, Role.MANAGER)
        self.etcd_url = f"https://127.0.0.1:{client}"
        self.etcd = etcd.EtcdConfig(
            name=self.node_id,
            data_dir=root / "etcd",
            client_url=self.etcd_url,
            peer_url=f"https://127.0.0.1:{peer}",
            root_file=root / "certificates" / "root.pem",
            identity_file=root / "certificates" / "node.pem",
        )
        self.pids: dict[str, int] = {}

    def certify(self, node_id: NodeId, role: Role = Role.WORKER) -> Identity:
        """A certificate as the swarm's own authority gives it."""
        key = make_key(RANDOM)
        certificate = issue(
            self.founded.authority,
            key.public_key(),
            node_id=node_id,
            role=role,
            expiry_s=86_400.0,
            now=time.time(),
            random=RANDOM,
            addresses=("127.0.0.1",) if role is Role.MANAGER else (),
        )
        return Identity(key=key_pem(key), certificate=certificate, root=self.founded.authority.pem)

    @property
    def database_mib(self) -> float:
        """The size of etcd's database file."""
        return (self.root / "etcd/member/snap/db").stat().st_size / (1 << 20)

    @asynccontextmanager
    async def running(self, nodes: Sequence[NodeId]) -> AsyncIterator[None]:
        """Have etcd, with the nodes in it, and the manager run."""
        processes: list[subprocess.Popen[bytes]] = []
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            IdentityFiles(self.root / "certificates").install(self.identity)
            save_data_key(self.root / "data.key", self._data_key)
            argv = etcd.command(self.etcd, parent_pid=os.getpid())
            environment = etcd.environment(os.environ, notify_socket="")
            processes.append(self._start("etcd", argv, environment))
            await self._write(nodes)
            config = self.root / "manager.json"
            config.write_bytes(msgspec.json.encode(self._config()))
            module = (sys.executable, "-P", "-m", "manager.main", "--config", str(config))
            processes.append(self._start("manager", module, dict(os.environ)))
            await self._listening(processes[-1])
            yield
        finally:
            for process in reversed(processes):
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            shutil.rmtree(self.root, ignore_errors=True)

    def _start(
        self, name: str, argv: Sequence[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self.root / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        self.pids[name] = process.pid
        return process

    async def _write(self, nodes: Sequence[NodeId]) -> None:
        target = Target(endpoints=(self.etcd_url,), identity=self.identity, timeout_s=30.0)
        store, now = EtcdStore(target), time.time()
        try:
            first = Node(id=self.node_id, spec=NodeSpec(role=Role.MANAGER), created_at=now)
            await store.commit(first_commit(self.founded.cluster, first))
            puts = [
                Put(layout.node_key(each), pack(Node(id=each, created_at=now, number=number)))
                for number, each in enumerate(nodes, start=2)
            ]
            for start in range(0, len(puts), WRITTEN_AT_ONCE):
                await store.commit(Commit((), tuple(puts[start : start + WRITTEN_AT_ONCE])))
        finally:
            await store.close()

    async def _listening(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as err:
                if time.monotonic() > deadline or process.poll() is not None:
                    said = (self.root / "manager.log").read_text()[-2000:]
                    raise Unavailable(f"the manager does not serve: {said}") from err
                await asyncio.sleep(0.05)
            else:
                writer.transport.abort()
                return

    def _config(self) -> Config:
        return Config(
            node_id=self.node_id,
            cluster_id=self.founded.cluster.id,
            certificates_dir=str(self.root / "certificates"),
            data_key_path=str(self.root / "data.key"),
            etcd_endpoints=(self.etcd_url,),
            listen_addr=self.address,
            advertise_addr=self.address,
            data_root=str(self.root),
            run_root=str(self.root),
        )


def free_ports(count: int) -> Iterator[int]:
    """Ports that nobody listens at now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return iter(ports)
