"""Read what the host says of itself."""

import os
import platform
import socket
from collections.abc import Iterable
from pathlib import Path

from agent import description
from agent.config import Config
from agent.containers import Node
from agent.io import devices, volumes
from agent.templates import Host
from swarm.objects import LocalImage, NodeDescription


def describe(
    config: Config, images: Iterable[LocalImage], *, public_key: bytes = b""
) -> NodeDescription:
    """This node, with the images that only it has, and WireGuard's key if it has that."""
    return description.describe(
        hostname=config.hostname or socket.gethostname(),
        arch=platform.machine(),
        cpus=len(os.sched_getaffinity(0)),
        meminfo=_read("/proc/meminfo"),
        addr=config.advertise_host,
        data_path_addr=config.data_path_addr,
        public_key=public_key,
        engine_labels=config.engine_labels,
        generic=config.generic_resources,
        images=images,
        security_options=description.security_options(
            devices.fences(config.user_namespace), has_seccomp=devices.has_seccomp()
        ),
        volumes=volumes.names(config.volumes),
    )


def node(config: Config) -> Node:
    """What containers get from this node. The resolver may change at any time: read it now."""
    return Node(
        host=Host(
            node_id=config.node_id,
            hostname=config.hostname or socket.gethostname(),
            arch=platform.machine(),
        ),
        containers=str(config.containers),
        volumes=str(config.volumes),
        contents=str(config.contents),
        cgroup_parent=config.cgroup_parent,
        hosts=_read("/etc/hosts"),
        resolv=_read("/etc/resolv.conf"),
        fences=devices.fences(config.user_namespace),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return ""
