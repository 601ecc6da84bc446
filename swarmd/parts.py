"""Say which processes make up a node, and how each is started.

Every host has a launcher and an agent, in a swarm or not; a manager has etcd and a manager
besides, and an engine is there from the first time that a client of Docker's has knocked. They
stop in the reverse of the order in which they were started, and none waits for another: each
rides out the time in which what it needs is not there yet.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from agent.config import Config as AgentConfig
from engine.config import Config as EngineConfig
from manager.config import Config as ManagerConfig
from swarm.addresses import parse_address
from swarm.ids import NodeId
from swarm.specs import Role
from swarmd import etcd
from swarmd.settings import Membership, Settings, manager_metrics_addr

LAUNCHER = "launcher"
ETCD = "etcd"
MANAGER = "manager"
AGENT = "agent"
ENGINE = "engine"


class Part(Struct, frozen=True, kw_only=True):
    """One child process: its command line, its whole environment if it is not to be ours,
    how long it may take to stop, whether it goes on when swarmd crashes, and which of our
    descriptors it gets, under the same numbers."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] | None = None
    stop_grace_s: float = 5.0
    log_file: str = ""
    outlives_us: bool = False
    descriptors: tuple[int, ...] = ()


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Run one of our modules; never one that happens to lie in the working directory (-P)."""
    return (sys.executable, "-P", "-m", name, *arguments)


def launcher(settings: Settings, *, respawn: tuple[str, ...] = ()) -> Part:
    """The launcher; with `respawn` it also brings a crashed swarmd back."""
    arguments = ("--socket", str(settings.launcher_socket), "--run-root", settings.run_root)
    argv = module("runtime.io.launcher", *arguments, *respawn)
    return Part(name=LAUNCHER, argv=argv, outlives_us=True)


def etcd_member(
    settings: Settings, membership: Membership, *, environment: Mapping[str, str], our_pid: int
) -> Part:
    """This manager's etcd."""
    config = etcd.EtcdConfig(
        name=membership.node_id,
        data_dir=settings.etcd_dir,
        client_url=membership.etcd_client_url,
        peer_url=membership.etcd_peer_url,
        root_file=settings.certificates / "root.pem",
        identity_file=settings.identity_file,
    )
    return Part(
        name=ETCD,
        argv=etcd.command(config, parent_pid=our_pid),
        env=etcd.environment(environment, notify_socket=""),
        log_file=str(settings.etcd_log),
    )


def manager_config(settings: Settings, membership: Membership) -> ManagerConfig:
    """What this node's manager is told."""
    return ManagerConfig(
        node_id=membership.node_id,
        cluster_id=membership.cluster_id,
        certificates_dir=str(settings.certificates),
        data_key_path=str(settings.data_key_file),
        etcd_endpoints=(membership.etcd_client_url,),
        listen_addr=membership.listen_addr,
        advertise_addr=membership.advertise_addr,
        data_root=settings.data_root,
        run_root=settings.run_root,
        metrics_addr=manager_metrics_addr(settings),
        insecure_registries=settings.insecure_registries,
        log_level=settings.log_level,
    )


def agent_config(
    settings: Settings, membership: Membership | None, *, hostname: str
) -> AgentConfig:
    """What this node's agent is told; without a membership, it is alone."""
    return AgentConfig(
        node_id=NodeId("") if membership is None else membership.node_id,
        hostname=hostname,
        identity=str(settings.certificates),
        managers=() if membership is None else _managers(membership),
        data_root=settings.data_root,
        run_root=settings.run_root,
        launcher_socket=str(settings.launcher_socket),
        metrics_addr=settings.metrics_addr,
        cgroup_parent=settings.cgroup_parent,
        user_namespace=settings.user_namespace,
        advertise_host="" if membership is None else parse_address(membership.advertise_addr)[0],
        data_path_addr="" if membership is None else membership.data_path_addr,
        insecure_registries=settings.insecure_registries,
        engine_labels=settings.labels,
        generic_resources=settings.generic_resources,
        log_level=settings.log_level,
    )


def engine_config(settings: Settings, *, hostname: str) -> EngineConfig:
    """What the part that speaks Docker's API is told."""
    return EngineConfig(
        swarmd_socket=str(settings.socket),
        agent_socket=str(settings.agent_socket),
        identity=str(settings.certificates),
        data_root=settings.data_root,
        run_root=settings.run_root,
        hostname=hostname,
        docker_socket=str(settings.docker_door or ""),
        docker_addr=settings.docker_addr,
        metrics_addr=settings.metrics_addr,
        cgroup_parent=settings.cgroup_parent,
        userns_remap=settings.userns_remap,
        insecure_registries=settings.insecure_registries,
        labels=settings.labels,
        log_level=settings.log_level,
    )


def engine(config_file: Path, doors: Mapping[str, int]) -> Part:
    """The engine, with the sockets that listen for it: `--socket` or `--tls`, and descriptors."""
    arguments = [word for flag, number in doors.items() for word in (flag, str(number))]
    return Part(
        name=ENGINE,
        argv=module("engine.main", "--config", str(config_file), *arguments),
        descriptors=tuple(doors.values()),
    )


def reading(name: str, config_file: Path) -> Part:
    """The manager or the agent, told by a file."""
    return Part(name=name, argv=module(f"{name}.main", "--config", str(config_file)))


def _managers(membership: Membership) -> tuple[str, ...]:
    """Whom the agent dials first: a manager's own, if it has one."""
    own = (membership.advertise_addr,) if membership.role is Role.MANAGER else ()
    return tuple(dict.fromkeys((*own, *membership.managers)))
