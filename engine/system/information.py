"""Tell clients of this engine, its node and its swarm, field by field as Docker does.

What has no meaning here is there with the value that stands for none, since clients print it.
"""

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from engine import times
from engine.config import Config
from engine.containers import states
from engine.containers.inspection import DRIVER, RUNTIME
from engine.replies import JsonObject
from engine.system.host import Host
from engine.versions import LATEST, LEAST
from swarm import __version__
from swarm.api.v1 import containers_pb2, control_pb2, daemon_pb2
from swarm.specs import Role
from swarm.standalone import ContainerState

INDEX = "https://index.docker.io/v1/"
NAME = "swarmd"
LOG_DRIVERS = ("json-file", "local", "none")

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Found(Struct, kw_only=True):
    """What the node's parts say of themselves, as far as they answer."""

    status: daemon_pb2.GetStatusResponse
    containers: tuple[containers_pb2.ContainerView, ...] = ()
    images: int = 0
    nodes: tuple[control_pb2.NodeView, ...] = ()
    cluster: JsonObject | None = None
    error: str = ""


def write_version(host: Host) -> JsonObject:
    """GET /version"""
    details = {
        "ApiVersion": str(LATEST),
        "Arch": host.architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": host.kernel,
        "MinAPIVersion": str(LEAST),
        "Os": "linux",
    }
    return {
        "Platform": {"Name": NAME},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": str(LATEST),
        "MinAPIVersion": str(LEAST),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": host.architecture,
        "KernelVersion": host.kernel,
        "BuildTime": "",
    }


def write_info(found: Found, host: Host, config: Config, *, now: float) -> JsonObject:
    """GET /info"""
    up = [states.state_of(each) for each in found.containers if states.is_up(each)]
    paused = up.count(ContainerState.PAUSED)
    return {
        "ID": engine_id(host, config),
        "Containers": len(found.containers),
        "ContainersRunning": len(up) - paused,
        "ContainersPaused": paused,
        "ContainersStopped": len(found.containers) - len(up),
        "Images": found.images,
        "Driver": DRIVER,
        "DriverStatus": [],
        "DockerRootDir": config.data_root,
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null", "overlay"],
            "Authorization": None,
            "Log": list(LOG_DRIVERS),
        },
        **_write_limits(host),
        "Debug": config.log_level == "debug",
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": times.stamp(now),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if host.has_cgroup_v2 else "1",
        "NEventsListener": 0,
        "KernelVersion": host.kernel,
        "OperatingSystem": host.system,
        "OSVersion": host.system_version,
        "OSType": "linux",
        "Architecture": _MACHINES.get(host.architecture, host.architecture),
        "NCPU": host.cpus,
        "MemTotal": host.memory_bytes,
        "IndexServerAddress": INDEX,
        "RegistryConfig": _write_registries(config.insecure_registries),
        "GenericResources": None,
        "HttpProxy": host.http_proxy,
        "HttpsProxy": host.https_proxy,
        "NoProxy": host.no_proxy,
        "Name": config.hostname,
        "Labels": [f"{name}={value}" for name, value in sorted(config.labels.items())],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {name: {"path": "swarm-runtime"} for name in (RUNTIME, "swarm-runtime")},
        "DefaultRuntime": RUNTIME,
        "Swarm": _write_swarm(found),
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": __version__, "Expected": __version__},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": list(_security(host, config)),
        "DefaultAddressPools": [],
        "CDISpecDirs": [],
        "Warnings": list(_warnings(host)) or None,
    }


def engine_id(host: Host, config: Config) -> str:
    """The same for as long as this host keeps its data where it is."""
    seed = f"{host.machine_id} {Path(config.data_root)}"
    return str(uuid.UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4))


def _write_limits(host: Host) -> JsonObject:
    return {
        "MemoryLimit": host.limits("memory.limit_in_bytes", "memory.max"),
        "SwapLimit": host.limits("memory.memsw.limit_in_bytes", "memory.swap.max"),
        "KernelMemory": False,
        "KernelMemoryTCP": False,
        "CpuCfsPeriod": host.limits("cpu.cfs_period_us", "cpu.max"),
        "CpuCfsQuota": host.limits("cpu.cfs_quota_us", "cpu.max"),
        "CPUShares": host.limits("cpu.shares", "cpu.weight"),
        "CPUSet": host.limits("cpuset.cpus", "cpuset.cpus.effective"),
        "PidsLimit": host.limits("pids", "pids.max"),
        "OomKillDisable": host.limits("memory.oom_control", ""),
        "IPv4Forwarding": host.forwards_ipv4,
        "BridgeNfIptables": host.filters_bridges,
        "BridgeNfIp6tables": host.filters_bridges_v6,
    }


def _write_registries(insecure: Iterable[str]) -> JsonObject:
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {
            "docker.io": _write_index("docker.io", secure=True, official=True),
            **{name: _write_index(name, secure=False, official=False) for name in insecure},
        },
        "Mirrors": [],
    }


def _write_index(name: str, *, secure: bool, official: bool) -> JsonObject:
    return {"Name": name, "Mirrors": [], "Secure": secure, "Official": official}


def _write_swarm(found: Found) -> JsonObject:
    status = found.status
    if not status.node_id:
        return {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        }
    managers = [each for each in found.nodes if Role(each.node.spec.role) is Role.MANAGER]
    shown: JsonObject = {
        "NodeID": status.node_id,
        "NodeAddr": status.advertise_addr.rpartition(":")[0].strip("[]"),
        "LocalNodeState": "error" if found.error else "active",
        "ControlAvailable": Role(status.role) is Role.MANAGER and not found.error,
        "Error": found.error,
        "RemoteManagers": [{"NodeID": each.node.id, "Addr": each.manager_addr} for each in managers]
        or None,
    }
    if found.nodes:
        shown["Nodes"] = len(found.nodes)
        shown["Managers"] = len(managers)
    if found.cluster is not None:
        shown["Cluster"] = found.cluster
    return shown


def _security(host: Host, config: Config) -> Iterable[str]:
    if host.has_apparmor:
        yield "name=apparmor"
    yield "name=seccomp,profile=builtin"
    if config.userns_remap:
        yield "name=userns"
    if host.has_cgroup_v2:
        yield "name=cgroupns"


def _warnings(host: Host) -> Iterable[str]:
    if not host.limits("memory.limit_in_bytes", "memory.max"):
        yield "WARNING: No memory limit support"
    elif not host.limits("memory.memsw.limit_in_bytes", "memory.swap.max"):
        yield "WARNING: No swap limit support"
    if not host.limits("cpu.cfs_quota_us", "cpu.max"):
        yield "WARNING: No cpu cfs quota support"
    if not host.forwards_ipv4:
        yield "WARNING: IPv4 forwarding is disabled"
