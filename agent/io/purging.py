"""Remove every task's container of this node, for a node that leaves its swarm.

Containers are killed, not asked: whoever runs `leave` has drained the node or does not care.
Images, named volumes and containers that are no tasks are the operator's and stay. Repeating it
after a crash is fine.
"""

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path

import structlog

from agent.config import Config
from agent.io import lock, networking
from agent.io.contents import Contents
from agent.io.volume_users import bound_by
from agent.io.volumes import Volumes
from runtime.io import host, leftovers
from runtime.io.client import Runtime
from runtime.io.hierarchies import host_layout
from swarm.dispatch import Content
from swarm.errors import SwarmError, Unavailable
from swarm.ids import TaskId

LOCKED_WITHIN_S = 5.0
DELETES_AT_ONCE = 16


async def purge(config: Config, log: structlog.stdlib.BoundLogger) -> None:
    """End and delete what was the swarm's; `Unavailable` names how many could not be."""
    lock.acquire(Path(config.run_root) / "agent.lock", within_s=LOCKED_WITHIN_S)
    runtime = Runtime(run_root=Path(config.run_root), launcher_socket=Path(config.launcher_socket))
    kept = standing(config)
    try:
        count = await delete_all(runtime, log, kept=kept)
    finally:
        await runtime.close()
    await networking.remove(config, log, kept=kept)
    Contents(config.contents, dict[str, Content]).dissolve()
    users = bound_by(kept, volumes=config.volumes, containers=Path(config.run_root) / "containers")
    await Volumes(config.volumes, users=lambda: users, changed=lambda: None).release()
    leftovers.remove_parents(config.cgroup_parent, host_layout())
    await asyncio.to_thread(_remove_directories, config.containers, kept)
    with contextlib.suppress(FileNotFoundError):
        config.managers_file.unlink()
    log.info("node.purged", containers=count, kept=len(kept))


def standing(config: Config) -> frozenset[TaskId]:
    """The containers that are no tasks, whether they run or not."""
    found = config.standalone.iterdir() if config.standalone.is_dir() else ()
    return frozenset(TaskId(each.name) for each in found if each.is_dir())


async def delete_all(
    runtime: Runtime, log: structlog.stdlib.BoundLogger, *, kept: Collection[str]
) -> int:
    """End and delete every container but `kept`; how many they were, or `Unavailable`."""
    turns, failed = asyncio.Semaphore(DELETES_AT_ONCE), list[str]()

    async def delete(container_id: str) -> None:
        async with turns:
            try:
                await runtime.delete(container_id)
            except SwarmError as err:
                log.error("container.not_deleted", task_id=container_id, reason=err.message)
                failed.append(container_id)

    found = [each.container_id for each in await runtime.adopt() if each.container_id not in kept]
    await asyncio.gather(*map(delete, found))
    if failed:
        raise Unavailable(f"{len(failed)} containers could not be removed", hint="try again")
    return len(found)


def _remove_directories(containers: Path, kept: Collection[str]) -> None:
    for each in containers.iterdir() if containers.is_dir() else ():
        if each.name not in kept:
            host.discard_tree(str(each))
    with contextlib.suppress(OSError):
        containers.rmdir()
