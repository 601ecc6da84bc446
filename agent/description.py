"""Describe this node to the managers.

Only images that no registry can vouch for are listed: the managers pin those to the digest
that a node has, all others to the digest that the registry says.
"""

from collections.abc import Iterable, Mapping

from swarm import __version__
from swarm.objects import LocalImage, NodeDescription
from swarm.specs import Resources


def memory_bytes(meminfo: str) -> int:
    """Total memory, from the text of /proc/meminfo (proc_meminfo(5) counts in KiB)."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def describe(
    *,
    hostname: str,
    arch: str,
    cpus: int,
    meminfo: str,
    addr: str,
    engine_labels: Mapping[str, str],
    images: Iterable[LocalImage],
) -> NodeDescription:
    """What an agent says of its host. Equal hosts give equal descriptions."""
    return NodeDescription(
        hostname=hostname,
        os="linux",
        arch=arch,
        resources=Resources(cpu_millis=cpus * 1000, memory_bytes=memory_bytes(meminfo)),
        engine_version=__version__,
        engine_labels=dict(engine_labels),
        images=tuple(sorted(images, key=lambda each: (each.reference, each.digest))),
        addr=addr,
    )
