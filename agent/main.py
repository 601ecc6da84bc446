"""Run this node's agent.

It keeps one session with a manager, and makes the node do what was assigned. Containers do
not depend on it: it may stop, crash or be replaced while they run. SIGUSR1 says that the node
leaves its swarm: end the containers, tell the manager, and stop. `--purge` ends and removes
every container of this node, for one that leaves its swarm; it needs neither a manager nor a
launcher, and keeps images and named volumes.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.errors import Refused, SwarmError
from swarm.io.allocation import importing, share_one_arena
from swarm.io.parent import live_with_parent

if TYPE_CHECKING:
    from agent.config import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m agent.main`."""
    live_with_parent()
    share_one_arena()
    parser = argparse.ArgumentParser(prog="agent.main", description="The agent of one node")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE")
    parser.add_argument("--purge", action="store_true", help="remove every container and exit")
    found = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        config = _read(found.config)
        return asyncio.run(_purge(config) if found.purge else _serve(config))
    except SwarmError as err:
        print(f"agent: {err.message}", file=sys.stderr)
        if err.hint:
            print(f"hint: {err.hint}", file=sys.stderr)
        return 1


def _read(path: Path) -> "Config":
    from agent.config import parse

    try:
        content = path.read_bytes()
    except OSError as err:
        raise Refused(f"{path}: {err.strerror}", hint="swarmd writes this file") from err
    return parse(content, name=str(path))


async def _serve(config: "Config") -> int:
    """Run until SIGTERM, SIGINT or SIGUSR1, or until a bug shows."""
    with importing():
        from agent.io.serving import Service
        from swarm.io.log import configure

    stop, leaves = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Whoever sends it before this line ends us, which is what it wants anyway.
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, leaves.set)
    service = Service(config, configure("agent", level=config.log_level))
    await service.start()
    stopping, leaving = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(leaves.wait())
    await asyncio.wait(
        (stopping, leaving, service.crew.crashed), return_when=asyncio.FIRST_COMPLETED
    )
    if service.crew.crashed.done():
        service.crew.crashed.result()
    if leaves.is_set():
        await service.leave()
    await service.close()
    return 0


async def _purge(config: "Config") -> int:
    from agent.io.purging import purge
    from swarm.io.log import configure

    await purge(config, configure("agent", level=config.log_level))
    return 0


if __name__ == "__main__":
    sys.exit(main())
