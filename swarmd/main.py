"""Run this host's node daemon.

swarmd owns the node's identity and role, serves swarmctl on a root-only Unix socket, and
starts and watches the rest: etcd, manager, agent, launcher. Stopping it leaves containers
running; starting it finds them again.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from swarm import __version__
from swarm.addresses import format_address, parse_address
from swarm.errors import Invalid, SwarmError
from swarm.io.allocation import importing, share_one_arena
from swarm.wishes import parse_node_generics
from swarmd.io.remapping import resolve
from swarmd.settings import DOCKER_PORT, NO_SOCKET, Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `swarmd`."""
    share_one_arena()
    try:
        settings = parse(sys.argv[1:] if argv is None else argv)
        settings = replace(settings, user_namespace=resolve(settings.userns_remap))
        return asyncio.run(serve(settings))
    except SwarmError as err:
        print(f"swarmd: {err.message}", file=sys.stderr)
        if err.hint:
            print(f"hint: {err.hint}", file=sys.stderr)
        return 1


def parse(argv: Sequence[str]) -> Settings:
    """Read the command line; ends the process with a usage message when it is wrong."""
    found = _parser().parse_args(argv)
    for name in ("listen_addr", "metrics_addr"):
        parse_address(getattr(found, name))
    return Settings(
        data_root=str(Path(found.data_root).absolute()),
        run_root=str(Path(found.run_root).absolute()),
        listen_addr=found.listen_addr,
        advertise_addr=found.advertise_addr,
        data_path_addr=found.data_path_addr,
        metrics_addr=found.metrics_addr,
        hostname=found.hostname,
        cgroup_parent=_cgroup(found.cgroup_parent),
        docker_socket=_docker_socket(found.docker_socket),
        docker_addr=_docker_addr(found.docker_addr),
        userns_remap=found.userns_remap,
        insecure_registries=tuple(found.insecure_registry),
        labels=dict(_label(each) for each in found.label),
        generic_resources=parse_node_generics(found.node_generic_resource),
        log_level=found.log_level,
    )


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT."""
    with importing():
        from swarm.io.log import configure
        from swarmd.io.daemon import Daemon

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    daemon = Daemon(settings, configure("swarmd", level=settings.log_level))
    await daemon.start()
    await stop.wait()
    await daemon.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="swarmd", description="The node daemon of a container swarm. See also: swarmctl --help"
    )
    add = parser.add_argument
    add("--version", action="version", version=f"swarmd {__version__}")
    add("--data-root", default=default.data_root, help="what outlives a reboot (%(default)s)")
    add("--run-root", default=default.run_root, help="sockets and running state (%(default)s)")
    add("--listen-addr", default=default.listen_addr, help="managers' API (%(default)s)")
    add("--advertise-addr", default="", help="how others reach this node (the default route's)")
    add("--data-path-addr", default="", metavar="IP",
        help="how other nodes reach this one's tasks (the advertised address)")  # fmt: skip
    add("--metrics-addr", default=default.metrics_addr,
        help="the agent's /metrics; the manager's is one port above (%(default)s)")  # fmt: skip
    add("--hostname", default="", help="this node's name (the host's)")
    add("--cgroup-parent", default=default.cgroup_parent,
        help="containers' control groups live below it (%(default)s)")  # fmt: skip
    add("--docker-socket", default="", metavar="PATH|none",
        help="Docker's clients on this host (docker.sock in the run root)")  # fmt: skip
    add("--docker-addr", default="", metavar="HOST:PORT",
        help="Docker's clients elsewhere that have a node's certificate (off)")  # fmt: skip
    add("--userns-remap", default="", metavar="default|FIRST:COUNT|USER[:GROUP]",
        help="containers get ids of the host other than its own; see subuid(5)")  # fmt: skip
    add("--insecure-registry", action="append", default=[], metavar="HOST:PORT",
        help="a registry that is asked over plain HTTP (repeatable)")  # fmt: skip
    add("--label", action="append", default=[], metavar="KEY=VALUE",
        help="engine label, for constraints (repeatable)")  # fmt: skip
    add("--node-generic-resource", action="append", default=[], metavar="KIND=VALUE",
        help="a count, or the name of one, such as gpu=UUID1; a path in /dev is a device "
        "that a task gets for itself (repeatable)")  # fmt: skip
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Invalid(f"--label {text!r} is not KEY=VALUE")
    return key, value


def _docker_socket(text: str) -> str:
    return text if text in ("", NO_SOCKET) else str(Path(text).absolute())


def _docker_addr(text: str) -> str:
    return format_address(*parse_address(text, default_port=DOCKER_PORT)) if text else ""


def _cgroup(text: str) -> str:
    name = text.strip("/")
    if not name or ".." in name.split("/"):
        raise Invalid(f"--cgroup-parent {text!r} is not a path below the cgroup root")
    return name


if __name__ == "__main__":
    sys.exit(main())
