"""Say what the agent's spec asks for in the terms of an OCI config."""

from typing import Final

from runtime.oci.config import Cpu, Memory, Pids
from runtime.oci.config import Resources as OciResources
from runtime.spec import ContainerSpec, Resources

_PERIOD_US: Final = 100_000


def group_path(spec: ContainerSpec) -> str:
    """Where the container's control groups are, below the root of every hierarchy."""
    return f"{spec.cgroup_parent}/{spec.id}"


def to_resources(asked: Resources) -> OciResources:
    """A limit of 0 is none, and a limit of memory alone allows no swap."""
    return OciResources(cpu=_cpu(asked), memory=_memory(asked), pids=_pids(asked))


def _cpu(asked: Resources) -> Cpu | None:
    if not (asked.cpu_millis or asked.cpuset_cpus or asked.cpuset_mems):
        return None
    return Cpu(
        quota=asked.cpu_millis * _PERIOD_US // 1000 if asked.cpu_millis else None,
        period=_PERIOD_US if asked.cpu_millis else None,
        cpus=asked.cpuset_cpus,
        mems=asked.cpuset_mems,
    )


def _memory(asked: Resources) -> Memory | None:
    if not asked.memory_bytes:
        return None
    return Memory(limit=asked.memory_bytes, swap=asked.memory_swap_bytes or asked.memory_bytes)


def _pids(asked: Resources) -> Pids | None:
    return Pids(limit=asked.pids_limit) if asked.pids_limit else None
