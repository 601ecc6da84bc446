"""Describe this node to the managers.

Only images that no registry can vouch for are listed: the managers pin those to the digest
that a node has, all others to the digest that the registry says.
"""

from collections.abc import Iterable, Iterator, Mapping

from agent.rights import Fences
from swarm import __version__
from swarm.objects import LocalImage, NodeDescription
from swarm.specs import GenericResource, Resources


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
    data_path_addr: str = "",
    public_key: bytes = b"",
    engine_labels: Mapping[str, str],
    generic: Iterable[GenericResource] = (),
    images: Iterable[LocalImage],
    security_options: Iterable[str] = (),
    volumes: Iterable[str] = (),
) -> NodeDescription:
    """What an agent says of its host. Equal hosts give equal descriptions."""
    return NodeDescription(
        hostname=hostname,
        os="linux",
        arch=arch,
        resources=Resources(
            cpu_millis=cpus * 1000,
            memory_bytes=memory_bytes(meminfo),
            generic=tuple(sorted(generic, key=lambda each: each.kind)),
        ),
        engine_version=__version__,
        engine_labels=dict(engine_labels),
        images=tuple(sorted(images, key=lambda each: (each.reference, each.digest))),
        addr=addr,
        security_options=tuple(security_options),
        volumes=tuple(sorted(volumes)),
        data_path_addr=data_path_addr,
        public_key=public_key,
    )


def security_options(fences: Fences, *, has_seccomp: bool) -> Iterator[str]:
    """How the node fences containers in, in the words of `docker info`."""
    if fences.has_apparmor:
        yield "name=apparmor"
    if has_seccomp:
        yield "name=seccomp,profile=builtin"
    if fences.user_namespace is not None:
        ranges = (f"{each.host_id}:{each.size}" for each in fences.user_namespace.uids)
        yield f"name=userns,uids={'+'.join(ranges)}"
    yield "name=cgroupns"
