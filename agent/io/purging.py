"""Remove every container of this node, for a node that leaves its swarm.

Containers are killed, not asked: whoever runs `leave` has drained the node or does not care.
Images and named volumes are the operator's and stay. Repeating it after a crash is fine.
"""

import asyncio
import contextlib
import shutil
from pathlib import Path

import structlog

from agent.config import Config
from agent.io import lock, networking
from agent.io.contents import Contents
from agent.io.volumes import Volumes
from runtime.io import leftovers
from runtime.io.client import Runtime
from runtime.io.hierarchies import host_layout
from swarm.dispatch import Content
from swarm.errors import SwarmError, Unavailable

LOCKED_WITHIN_S = 5.0
DELETES_AT_ONCE = 16


async def purge(config: Config, log: structlog.stdlib.BoundLogger) -> None:
    """End and delete everything; `Unavailable` names how many could not be."""
    lock.acquire(Path(config.run_root) / "agent.lock", within_s=LOCKED_WITHIN_S)
    runtime = Runtime(run_root=Path(config.run_root), launcher_socket=Path(config.launcher_socket))
    try:
        count = await delete_all(runtime, log)
    finally:
        await runtime.close()
    await networking.remove(config, log)
    Contents(config.contents, dict[str, Content]).dissolve()
    await Volumes(config.volumes, users=dict, changed=lambda: None).release()
    leftovers.remove_parents(config.cgroup_parent, host_layout())
    await asyncio.to_thread(shutil.rmtree, config.containers, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        config.managers_file.unlink()
    log.info("node.purged", containers=count)


async def delete_all(runtime: Runtime, log: structlog.stdlib.BoundLogger) -> int:
    """End and delete every container; how many there were, or `Unavailable`."""
    turns, failed = asyncio.Semaphore(DELETES_AT_ONCE), list[str]()

    async def delete(container_id: str) -> None:
        async with turns:
            try:
                await runtime.delete(container_id)
            except SwarmError as err:
                log.error("container.not_deleted", task_id=container_id, reason=err.message)
                failed.append(container_id)

    found = await runtime.adopt()
    await asyncio.gather(*(delete(each.container_id) for each in found))
    if failed:
        raise Unavailable(f"{len(failed)} containers could not be removed", hint="try again")
    return len(found)
