"""Lay out what clients send of containers: what they are made from, changed to and joined with.

Names are Docker's in snake case: on the wire their case does not count. What is not listed is
passed over, as Docker does.
"""

from typing import Annotated

from msgspec import Meta, Struct

from engine.wire.decoding import Int32, Int64, Uint16, Uint32
from engine.wire.mounts import MountJson
from engine.wire.task_containers import DeviceJson, HealthcheckJson, UlimitJson

Words = str | tuple[str, ...] | None
"""A command: in one piece, or as the pieces that it is run with."""

Rate = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class PortBindingJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A port of the node, or a range such as 8000-8010 of which any will do."""

    host_ip: str = ""
    host_port: str = ""


class LogConfigJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """Where output goes."""

    type: str = ""
    config: dict[str, str] = {}


class RestartPolicyJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """What follows when the program ends."""

    name: str = ""
    maximum_retry_count: Int32 = 0


class WeightDeviceJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A share of what a device does."""

    path: str = ""
    weight: Uint16 = 0


class ThrottleDeviceJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A limit of what is done with a device."""

    path: str = ""
    rate: Rate = 0


class ResourcesJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the kernel is told of a container; `/update` takes these and the restart policy."""

    cpu_shares: Int64 = 0
    memory: Int64 = 0
    nano_cpus: Int64 = 0
    cgroup_parent: str = ""
    blkio_weight: Uint16 = 0
    blkio_weight_device: tuple[WeightDeviceJson, ...] = ()
    blkio_device_read_bps: tuple[ThrottleDeviceJson, ...] = ()
    blkio_device_write_bps: tuple[ThrottleDeviceJson, ...] = ()
    blkio_device_read_i_ops: tuple[ThrottleDeviceJson, ...] = ()
    blkio_device_write_i_ops: tuple[ThrottleDeviceJson, ...] = ()
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpu_realtime_period: Int64 = 0
    cpu_realtime_runtime: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[DeviceJson, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[dict[str, object], ...] = ()
    kernel_memory: Int64 = 0
    kernel_memory_tcp: Int64 = 0
    memory_reservation: Int64 = 0
    memory_swap: Int64 = 0
    memory_swappiness: Int64 | None = None
    oom_kill_disable: bool | None = None
    pids_limit: Int64 | None = None
    ulimits: tuple[UlimitJson, ...] = ()
    cpu_count: Int64 = 0
    cpu_percent: Int64 = 0
    i_o_maximum_i_ops: Int64 = 0
    i_o_maximum_bandwidth: Int64 = 0
    restart_policy: RestartPolicyJson = RestartPolicyJson()


class HostConfigJson(ResourcesJson, frozen=True, kw_only=True, rename="pascal"):
    """What a container has of its node."""

    binds: tuple[str, ...] = ()
    log_config: LogConfigJson = LogConfigJson()
    network_mode: str = ""
    port_bindings: dict[str, tuple[PortBindingJson, ...]] = {}
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: tuple[str, ...] = ()
    mounts: tuple[MountJson, ...] = ()
    console_size: tuple[Uint32, ...] = ()
    annotations: dict[str, str] = {}
    cap_add: Words = None
    cap_drop: Words = None
    cgroupns_mode: str = ""
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    ipc_mode: str = ""
    cgroup: str = ""
    links: tuple[str, ...] = ()
    oom_score_adj: Int32 = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()
    storage_opt: dict[str, str] = {}
    tmpfs: dict[str, str] = {}
    uts_mode: str = ""
    userns_mode: str = ""
    shm_size: Int64 = 0
    sysctls: dict[str, str] = {}
    runtime: str = ""
    isolation: str = ""
    init: bool | None = None
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None


class IpamJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """Addresses that are asked for."""

    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()


class EndpointJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """How a container is to be in a network."""

    ipam_config: IpamJson = IpamJson()
    links: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    mac_address: str = ""
    driver_opts: dict[str, str] = {}


class NetworkingConfigJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """The networks that a container begins in, by name or id."""

    endpoints_config: dict[str, EndpointJson] = {}


class ConfigJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a container runs, as an image may say it, too."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, object]] = {}
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()
    cmd: Words = None
    healthcheck: HealthcheckJson = HealthcheckJson()
    image: str = ""
    volumes: dict[str, dict[str, object]] = {}
    working_dir: str = ""
    entrypoint: Words = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    shell: Words = None


class CreateJson(ConfigJson, frozen=True, kw_only=True, rename="pascal"):
    """A container to be made."""

    host_config: HostConfigJson = HostConfigJson()
    networking_config: NetworkingConfigJson = NetworkingConfigJson()


class ExecJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A program to be run in a container."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: tuple[Uint32, ...] | None = None
    detach_keys: str = ""
    tty: bool = False
    env: tuple[str, ...] = ()
    cmd: Words = None
    privileged: bool = False
    user: str = ""
    working_dir: str = ""


class ExecStartJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """How a program that was described is started."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[Uint32, ...] | None = None
