"""Say which processes make up a node, and how each is started.

Every host has a launcher and an agent; a manager has etcd and a manager besides. They start
in this order and stop in the reverse one, and none waits for another: each rides out the time
in which what it needs is not there yet.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from agent.config import Config as AgentConfig
from manager.config import Config as ManagerConfig
from swarm.addresses import parse_address
from swarm.specs import Role
from swarmd import etcd
from swarmd.settings import Membership, Settings, manager_metrics_addr

LAUNCHER = "launcher"
ETCD = "etcd"
MANAGER = "manager"
AGENT = "agent"


class Part(Struct, frozen=True, kw_only=True):
    """One child process: its command line, its whole environment if it is not to be ours,
    how long it may take to stop, and whether it goes on when swarmd crashes."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] | None = None
    stop_grace_s: float = 5.0
    log_file: str = ""
    outlives_us: bool = False


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


def agent_config(settings: Settings, membership: Membership) -> AgentConfig:
    """What this node's agent is told."""
    managers = membership.managers
    if membership.role is Role.MANAGER:
        managers = (membership.advertise_addr, *managers)
    host, _ = parse_address(membership.advertise_addr)
    return AgentConfig(
        node_id=membership.node_id,
        hostname=settings.hostname,
        identity=str(settings.certificates),
        managers=tuple(dict.fromkeys(managers)),
        data_root=settings.data_root,
        run_root=settings.run_root,
        launcher_socket=str(settings.launcher_socket),
        metrics_addr=settings.metrics_addr,
        cgroup_parent=settings.cgroup_parent,
        user_namespace=settings.user_namespace,
        advertise_host=host,
        data_path_addr=membership.data_path_addr,
        insecure_registries=settings.insecure_registries,
        engine_labels=settings.labels,
        generic_resources=settings.generic_resources,
        log_level=settings.log_level,
    )


def reading(name: str, config_file: Path) -> Part:
    """The manager or the agent, told by a file."""
    return Part(name=name, argv=module(f"{name}.main", "--config", str(config_file)))
