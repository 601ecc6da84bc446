"""Describe containers that somebody runs on one node, and no service asked for.

Every class mirrors the message of the same name in `proto/swarm/api/v1/containers.proto`; what is
as in a service is `swarm.specs`'. Zero and empty are the kernel's or the node's own default.
"""

from enum import IntEnum
from hashlib import sha256

from msgspec import Struct, field

from swarm.ids import NetworkId, TaskId
from swarm.specs import ContainerSpec, Limits, LogDriver, Port

_TASKS = "swarm task "


def container_id_of(task_id: TaskId) -> str:
    """The id under which the container of a task is shown: 64 digits, the same to everybody."""
    return sha256(f"{_TASKS}{task_id}".encode()).hexdigest()


def endpoint_id_of(runtime_id: str, network_id: NetworkId) -> str:
    """What a place in a network is called: that of a task, or of a container that is none."""
    return sha256(f"{network_id}/{runtime_id}".encode()).hexdigest()


class ContainerState(IntEnum):
    """How far a container is. DEAD is one whose removal failed: it can only be removed."""

    CREATED = 0
    RUNNING = 1
    PAUSED = 2
    RESTARTING = 3
    REMOVING = 4
    EXITED = 5
    DEAD = 6

    @property
    def word(self) -> str:
        """The state as users read it."""
        return self.name.lower()


class Restarting(IntEnum):
    """Which ends of a container call for another start."""

    NO = 0
    ON_FAILURE = 1
    ALWAYS = 2
    UNLESS_STOPPED = 3

    @property
    def word(self) -> str:
        """The policy as users type it."""
        return self.name.lower().replace("_", "-")


class ContainerRestart(Struct, frozen=True, kw_only=True):
    """What to do when the program ends by itself; `max_retries` (0: no bound) is ON_FAILURE's."""

    condition: Restarting = Restarting.NO
    max_retries: int = 0


class Shares(Struct, frozen=True, kw_only=True):
    """What the kernel allows, besides `Limits`; quota and period stand for `cpu_millis`."""

    cpu_shares: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_reservation_bytes: int = 0
    blkio_weight: int = 0
    oom_kill_disable: bool = False


class DeviceRateKind(IntEnum):
    """What is limited: a share of what the device does, or amounts a second."""

    WEIGHT = 0
    READ_BYTES = 1
    WRITE_BYTES = 2
    READS = 3
    WRITES = 4


class DeviceRate(Struct, frozen=True, kw_only=True):
    """How much a container may do with a block device of the node."""

    path: str = ""
    kind: DeviceRateKind = DeviceRateKind.WEIGHT
    rate: int = 0


class ContainerNetwork(Struct, frozen=True, kw_only=True):
    """A network that the container is in, by name or id. Addresses are those it asks for.

    `links` are CONTAINER[:ALIAS]. Our drivers take no options; they are kept for those who ask.
    """

    network: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    driver_options: dict[str, str] = field(default_factory=dict[str, str])
    link_local_addresses: tuple[str, ...] = ()


class PortSpan(Struct, frozen=True, kw_only=True):
    """A port of the node that is one of `port.published` to `last`, whichever is free."""

    port: Port = Port()
    last: int = 0


class StandaloneSpec(Struct, frozen=True, kw_only=True):
    """A container as its operator wants it; what is not said here is as in the message's notes.

    `network_mode` is bridge (or empty), host, none, container:NAME or a network, of which
    `networks` may say more. `masked_paths` and `readonly_paths` count when `has_paths`. An empty
    `container.command` is the image's entrypoint, and one empty string is none at all.
    """

    name: str = ""
    container: ContainerSpec = ContainerSpec()
    limits: Limits = Limits()
    shares: Shares = Shares()
    restart: ContainerRestart = ContainerRestart()
    log_driver: LogDriver = LogDriver()
    network_mode: str = ""
    networks: tuple[ContainerNetwork, ...] = ()
    ports: tuple[Port, ...] = ()
    exposed: tuple[str, ...] = ()
    publish_all: bool = False
    links: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    auto_remove: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    stdin_once: bool = False
    domainname: str = ""
    mac_address: str = ""
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    cgroupns_mode: str = ""
    shm_bytes: int = 0
    device_cgroup_rules: tuple[str, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    has_paths: bool = False
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    storage_options: dict[str, str] = field(default_factory=dict[str, str])
    console_rows: int = 0
    console_columns: int = 0
    runtime: str = ""
    tmpfs: dict[str, str] = field(default_factory=dict[str, str])
    cgroup_parent: str = ""
    volume_driver: str = ""
    device_rates: tuple[DeviceRate, ...] = ()
    security_options: tuple[str, ...] = ()
    port_spans: tuple[PortSpan, ...] = ()
    isolation: str = ""
