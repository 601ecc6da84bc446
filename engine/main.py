"""Serve Docker's API.

swarmd opens the sockets and passes them on as descriptors from 3 on, named in LISTEN_FDNAMES as
systemd does; `--socket PATH` opens one by hand. Nothing is kept here: stopping it breaks off its
clients, and changes no container.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.errors import Refused, SwarmError
from swarm.io.allocation import share_one_arena

if TYPE_CHECKING:
    from engine.config import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m engine.main`."""
    share_one_arena()
    parser = argparse.ArgumentParser(prog="engine.main", description="Docker's API")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="listen on this socket, too")
    found = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        return asyncio.run(_serve(_read(found.config), found.socket))
    except SwarmError as err:
        print(f"engine: {err.message}", file=sys.stderr)
        return 1


def _read(path: Path) -> "Config":
    from engine.config import parse

    try:
        content = path.read_bytes()
    except OSError as err:
        raise Refused(f"{path}: {err.strerror}", hint="swarmd writes this file") from err
    return parse(content, name=str(path))


async def _serve(config: "Config", socket_path: Path | None) -> int:
    """Run until SIGTERM or SIGINT."""
    from engine.io.backends import Backends
    from engine.io.dispatch import Dispatch
    from engine.io.routes import ROUTES
    from engine.io.server import Server
    from swarm.io.log import configure

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log = configure("engine", level=config.log_level)
    backends = Backends(swarmd_socket=config.swarmd_socket, agent_socket=config.agent_socket)
    server = Server(Dispatch(ROUTES, config=config, backends=backends, log=log).answer, log=log)
    for listener in _listeners(socket_path):
        server.listen(listener)
    await stop.wait()
    await server.close()
    await backends.close()
    return 0


def _listeners(path: Path | None) -> list[socket.socket]:
    passed = int(os.environ.get("LISTEN_FDS", "0"))
    found = [socket.socket(fileno=3 + number) for number in range(passed)]
    if path is not None:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1024)
        found.append(listener)
    return found


if __name__ == "__main__":
    sys.exit(main())
