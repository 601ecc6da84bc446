"""The manager as a process: how it starts, stops, dies and comes back."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from manager.bootstrap import first_commit
from manager.config import Config
from manager.store import Store
from swarm.api.v1 import control_pb2
from swarm.errors import SwarmError
from swarm.io.private import save_data_key
from swarm.objects import Node
from swarm.specs import NodeSpec, Role
from tests.etcd import build_rig, connected, free_port, running
from tests.liveness import is_alive
from tests.manager.io.swarm import Members, Remote, found_swarm, service, until

pytestmark = pytest.mark.cluster

ATTEMPTS = 5
"""How often something is timed, because other work on the machine takes time as well."""
FOUNDED = {"cluster", "names", "networks", "nodes", "pools"}


class Process:
    """A manager process, and how to reach it."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            argv = [sys.executable, "-m", "manager.main", "--config", str(self._config)]
            self.child = subprocess.Popen(argv, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(30)

    def output(self) -> str:
        return self._log.read_text()


@asynccontextmanager
async def managing(root: Path) -> AsyncIterator[tuple[Process, Remote, Store]]:
    """A manager process on a real etcd, ended afterwards."""
    members = found_swarm(root)
    rig = build_rig(root / "etcd", members.founded.authority)
    address = f"127.0.0.1:{free_port()}"
    config = write_config(root, members, rig.config.client_url, address)
    async with running(rig), connected(rig.target) as store:
        node = Node(id=members.node_id, spec=NodeSpec(role=Role.MANAGER))
        await store.commit(first_commit(members.founded.cluster, node))
        process = Process(config, root / "manager.log")
        process.start()
        try:
            yield process, Remote(members, address), store
        finally:
            assert process.child is not None
            process.child.kill()
            process.child.wait()


def write_config(root: Path, members: Members, etcd: str, address: str) -> Path:
    save_data_key(root / "data.key", members.keys.data_key)
    config = Config(
        node_id=members.node_id,
        cluster_id=members.founded.cluster.id,
        certificates_dir=str(root / "certificates"),
        data_key_path=str(root / "data.key"),
        etcd_endpoints=(etcd,),
        listen_addr=address,
        advertise_addr=address,
        data_root=str(root),
        run_root=str(root),
    )
    path = root / "manager.json"
    path.write_bytes(msgspec.json.encode(config))
    return path


async def answering(remote: Remote) -> None:
    """Wait until the manager serves and leads."""

    async def leads() -> bool:
        try:
            answer = await remote.call("GetCluster", control_pb2.GetClusterRequest())
        except SwarmError:
            return False
        return bool(answer.leader_id)

    async with asyncio.timeout(60):
        while not await leads():
            await asyncio.sleep(0.01)


def test_a_killed_manager_is_back_within_three_seconds_and_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with managing(tmp_path) as (process, remote, _):
            await answering(remote)
            agent = await remote.join("host-1")
            created = await remote.create(service(replicas=5))
            await until(lambda: len(agent.tasks) == 5)
            before = set(agent.tasks)

            took = 3.0
            for _ in range(ATTEMPTS):
                process.end(signal.SIGKILL)
                began = time.perf_counter()
                process.start()
                await answering(remote)
                took = time.perf_counter() - began
                await agent.connect(remote.address)
                if took < 3.0:
                    break
            await remote.scale(created.service.service.id, 6)
            await until(lambda: len(agent.tasks) == 6)
            await agent.disconnect()

            print(f"back after {took:.2f} s")
            assert took < 3.0
            assert before < set(agent.tasks)

    asyncio.run(main())


def test_a_manager_that_is_asked_to_stop_does_so_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with managing(tmp_path) as (process, remote, store):
            await answering(remote)
            agent = await remote.join("host-1")

            took, left = 1.0, set[str]()
            for attempt in range(ATTEMPTS):
                if attempt:
                    process.start()
                    await answering(remote)
                    await agent.connect(remote.address)
                began = time.perf_counter()
                code = await asyncio.to_thread(process.end, signal.SIGTERM)
                took = time.perf_counter() - began
                await until(lambda: agent.error)
                assert code == 0, process.output()
                left = {item.key.partition("/")[0] for item in (await store.read("")).items}
                if took < 1.0 and left == FOUNDED:
                    break

            print(f"gone after {took:.2f} s")
            assert took < 1.0
            assert left == FOUNDED

    asyncio.run(main())


def test_a_manager_dies_with_whoever_started_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with managing(tmp_path) as (process, remote, _):
            await answering(remote)
            process.end(signal.SIGTERM)
            argv = [
                sys.executable,
                "-m",
                "manager.main",
                "--config",
                str(tmp_path / "manager.json"),
            ]
            parent = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                f"import subprocess; p = subprocess.Popen({argv!r}); "
                "print(p.pid, flush=True); p.wait()",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert parent.stdout is not None
            pid = int(await parent.stdout.readline())
            await answering(remote)

            parent.kill()
            await parent.wait()

            await until(lambda: not is_alive(pid))

    asyncio.run(main())


def test_a_configuration_that_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "manager.json"
    path.write_text("{}")

    done = subprocess.run(
        [sys.executable, "-m", "manager.main", "--config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Error: configuration")
    assert "Traceback" not in done.stderr


def test_a_port_that_someone_else_listens_at_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with managing(tmp_path) as (process, remote, _):
            await answering(remote)
            first = process.child
            second = Process(tmp_path / "manager.json", tmp_path / "second.log")
            second.start()
            assert second.child is not None

            code = await asyncio.to_thread(second.child.wait, 20)

            assert code == 1
            assert f"Error: cannot listen at {remote.address}" in second.output()
            assert "Traceback" not in second.output()
            assert first is process.child

    asyncio.run(main())
