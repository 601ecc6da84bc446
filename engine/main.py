"""Serve Docker's API.

swarmd opens the sockets and passes them on as descriptors: `--socket-fd` for clients on this host,
`--tls-fd` for those on others. `--socket PATH` opens one by hand. Nothing is kept here: stopping
it breaks off its clients, and changes no container.
"""

import argparse
import asyncio
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.errors import Refused, SwarmError
from swarm.io.allocation import importing, share_one_arena
from swarm.io.parent import live_with_parent

if TYPE_CHECKING:
    from engine.config import Config
    from engine.io.backends import Backends
    from engine.io.gate import Gate


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m engine.main`."""
    live_with_parent()
    share_one_arena()
    parser = argparse.ArgumentParser(prog="engine.main", description="Docker's API")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE")
    parser.add_argument("--socket-fd", type=int, metavar="FD", help="listens on this host")
    parser.add_argument("--tls-fd", type=int, metavar="FD", help="listens for other hosts")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="listen on this socket, too")
    found = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        return asyncio.run(_serve(_read(found.config), found))
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


async def _serve(config: "Config", found: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    with importing():
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
    if found.socket_fd is not None:
        server.listen(socket.socket(fileno=found.socket_fd))
    if found.tls_fd is not None:
        server.listen(socket.socket(fileno=found.tls_fd), gate=_gate(config, backends))
    if found.socket is not None:
        server.listen(_opened(found.socket))
    await stop.wait()
    await server.close()
    await backends.close()
    return 0


def _gate(config: "Config", backends: "Backends") -> "Gate":
    from engine.io.gate import Gate
    from engine.io.roster import Roster, asking
    from swarm.io.identity import IdentityFiles

    roster = Roster(asking(backends.control), now=time.monotonic)
    return Gate(IdentityFiles(config.certificates), roster, now=time.time)


def _opened(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1024)
    return listener


if __name__ == "__main__":
    sys.exit(main())
