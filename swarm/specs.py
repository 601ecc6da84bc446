"""Describe what operators ask for.

Every class mirrors the message of the same name in `proto/swarm/api/v1/specs.proto`: same
fields, same names; `swarm.codec` derives the translation. Defaults here are what a field
means when it was never set. Units are in the names; cpu is in thousandths of a core.
"""

from enum import IntEnum

from msgspec import Struct, field

# The least that a limit may be, and the longest name of a host. What runs containers refuses
# the same, so that a spec that was accepted does not fail on every node.
LEAST_MEMORY_BYTES = 6 << 20  # with less, the kernel ends a process before it is the container's
LEAST_CPU_MILLIS = 10  # a quota of 1 ms, the kernel's least, for each 100 ms
LONGEST_HOSTNAME = 64


class MountKind(IntEnum):
    """Where a mount's content comes from."""

    BIND = 0
    VOLUME = 1
    TMPFS = 2


class RestartCondition(IntEnum):
    """Which ends of a task call for another attempt."""

    ANY = 0
    NONE = 1
    ON_FAILURE = 2


class Role(IntEnum):
    """What a node's certificate lets it do."""

    WORKER = 0
    MANAGER = 1

    @property
    def word(self) -> str:
        """The role as users type it."""
        return self.name.lower()


class Availability(IntEnum):
    """Whether a node takes new tasks (ACTIVE) and keeps those it has (ACTIVE, PAUSE)."""

    ACTIVE = 0
    PAUSE = 1
    DRAIN = 2

    @property
    def word(self) -> str:
        """The availability as users type it."""
        return self.name.lower()


class Mount(Struct, frozen=True, kw_only=True):
    """`source` is a host path (BIND), a volume's name or empty for an anonymous one (VOLUME)."""

    kind: MountKind = MountKind.VOLUME
    source: str = ""
    target: str = ""
    read_only: bool = False
    nocopy: bool = False
    propagation: str = ""
    tmpfs_size_bytes: int = 0
    tmpfs_mode: int = 0
    labels: dict[str, str] = field(default_factory=dict[str, str])


class Ulimit(Struct, frozen=True, kw_only=True):
    """One resource limit of the container's processes; -1 is unlimited."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class Device(Struct, frozen=True, kw_only=True):
    """A device of the host, or all in a directory; `access` is of `r`, `w` and `m` (make nodes)."""

    source: str = ""
    target: str = ""
    access: str = "rwm"


class Healthcheck(Struct, frozen=True, kw_only=True):
    """A probe, of a service or an image: `test` starts with NONE, CMD or CMD-SHELL.

    Empty and zero mean what the image says, and in an image the default.
    """

    test: tuple[str, ...] = ()
    interval_s: float = 0.0
    timeout_s: float = 0.0
    retries: int = 0
    start_period_s: float = 0.0
    start_interval_s: float = 0.0


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """`command` replaces the image's entrypoint and `args` its command.

    `env` holds `NAME=VALUE`, each name once; `hosts` holds `NAME:IP`. Capabilities are named
    `CAP_CHOWN`, or `ALL`; `seccomp` is empty (the default), `unconfined` or a profile as JSON;
    `apparmor` is empty (the node's own), `unconfined` or a profile's name.
    `host_user_namespace` keeps the ids of a node that would remap them.
    """

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    hostname: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    mounts: tuple[Mount, ...] = ()
    stop_signal: str = ""
    stop_grace_s: float = 10.0
    read_only: bool = False
    init: bool = False
    sysctls: dict[str, str] = field(default_factory=dict[str, str])
    ulimits: tuple[Ulimit, ...] = ()
    hosts: tuple[str, ...] = ()
    oom_score_adj: int = 0
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    devices: tuple[Device, ...] = ()
    seccomp: str = ""
    apparmor: str = ""
    allow_new_privileges: bool = False
    host_user_namespace: bool = False
    tty: bool = False
    open_stdin: bool = False
    health: Healthcheck = Healthcheck()


class Resources(Struct, frozen=True, kw_only=True):
    """What a node has or a task reserves."""

    cpu_millis: int = 0
    memory_bytes: int = 0


class Limits(Struct, frozen=True, kw_only=True):
    """What the kernel lets a task use at most; 0 is no limit.

    `swap_bytes` comes on top of a memory limit: 0 is none, -1 all that the host has.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0
    pids: int = 0
    swap_bytes: int = 0


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """`max_attempts` 0 is no bound; `window_s` 0 counts attempts over all time."""

    condition: RestartCondition = RestartCondition.ANY
    delay_s: float = 5.0
    max_attempts: int = 0
    window_s: float = 0.0


class Placement(Struct, frozen=True, kw_only=True):
    """Constraints such as `node.labels.zone == east`; `max_replicas_per_node` 0 is no bound."""

    constraints: tuple[str, ...] = ()
    max_replicas_per_node: int = 0


class TaskSpec(Struct, frozen=True, kw_only=True):
    """All that a task is made from; a change of it makes a new version of the service.

    `networks` is empty (the same as `none`), or one of `host` and `none`.
    """

    container: ContainerSpec = ContainerSpec()
    limits: Limits = Limits()
    reservations: Resources = Resources()
    restart: RestartPolicy = RestartPolicy()
    placement: Placement = Placement()
    networks: tuple[str, ...] = ()
    force_update: int = 0


class Replicated(Struct, frozen=True, kw_only=True):
    """Keep `replicas` tasks running, in slots numbered from 1."""

    replicas: int = 1


class Global(Struct, frozen=True, kw_only=True):
    """Keep one task running on every node that the placement admits."""


class UpdatePolicy(Struct, frozen=True, kw_only=True):
    """Replace `parallelism` tasks at a time (0: all at once), waiting `delay_s` in between."""

    parallelism: int = 1
    delay_s: float = 0.0


class ServiceSpec(Struct, frozen=True, kw_only=True):
    """A service as its operator wants it."""

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    mode: Replicated | Global = Replicated()
    task: TaskSpec = TaskSpec()
    update: UpdatePolicy = UpdatePolicy()


class NodeSpec(Struct, frozen=True, kw_only=True):
    """A node as its operator wants it."""

    role: Role = Role.WORKER
    availability: Availability = Availability.ACTIVE
    labels: dict[str, str] = field(default_factory=dict[str, str])


class ClusterSpec(Struct, frozen=True, kw_only=True):
    """The swarm's own settings; a node is lost after three silent heartbeats."""

    cert_expiry_s: float = 90 * 86400.0
    heartbeat_s: float = 1.0
    task_history_limit: int = 5
