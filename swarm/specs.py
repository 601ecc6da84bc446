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

# The networks that every node has by itself, and no object describes.
HOST, NONE, BRIDGE = "host", "none", "bridge"


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


class UpdateOrder(IntEnum):
    """Which goes first where a task is replaced."""

    STOP_FIRST = 0
    START_FIRST = 1


class FailureAction(IntEnum):
    """What a rollout does when too many of its new tasks fail."""

    PAUSE = 0
    CONTINUE = 1
    ROLLBACK = 2


class Strategy(IntEnum):
    """How nodes are ranked: the emptiest first, or the fullest that has room."""

    SPREAD = 0
    BINPACK = 1


class TaintEffect(IntEnum):
    """What a taint keeps away: new tasks, new tasks if there is a choice, or all tasks."""

    NO_SCHEDULE = 0
    PREFER_NO_SCHEDULE = 1
    NO_EXECUTE = 2


class DependencyCondition(IntEnum):
    """What a service waits for in another; HEALTHY needs a health check there."""

    RUNNING = 0
    HEALTHY = 1
    COMPLETE = 2


class Catchup(IntEnum):
    """Which firings of a schedule are made up for that nobody was there to see."""

    LATEST = 0
    NONE = 1
    ALL = 2


class Concurrency(IntEnum):
    """What becomes of a firing that finds an earlier run under way."""

    ALLOW = 0
    FORBID = 1
    REPLACE = 2


class Protocol(IntEnum):
    """What a port speaks."""

    TCP = 0
    UDP = 1
    SCTP = 2

    @property
    def word(self) -> str:
        """The protocol as users type it."""
        return self.name.lower()


class PublishMode(IntEnum):
    """Where a port is published: on every node, or on those that run a task."""

    INGRESS = 0
    HOST = 1


class EndpointMode(IntEnum):
    """What a service's name resolves to: one virtual address, or those of its tasks."""

    VIP = 0
    DNSRR = 1


class NetworkDriver(IntEnum):
    """How far a network reaches: across nodes, or as the same thing on each of them."""

    OVERLAY = 0
    BRIDGE = 1

    @property
    def word(self) -> str:
        """The driver as users type it."""
        return self.name.lower()


class Mount(Struct, frozen=True, kw_only=True):
    """`source` is a host path (BIND), a volume's name or empty for an anonymous one (VOLUME).

    Tasks follow a named volume to the node where their slot's is, unless it `roams`.
    """

    kind: MountKind = MountKind.VOLUME
    source: str = ""
    target: str = ""
    read_only: bool = False
    nocopy: bool = False
    propagation: str = ""
    tmpfs_size_bytes: int = 0
    tmpfs_mode: int = 0
    labels: dict[str, str] = field(default_factory=dict[str, str])
    volume_driver: str = ""
    volume_options: dict[str, str] = field(default_factory=dict[str, str])
    volume_subpath: str = ""
    roams: bool = False
    nonrecursive: bool = False
    create_source: bool = False


class FileReference(Struct, frozen=True, kw_only=True):
    """A secret or a config as a file of the container, owned by `uid` and `gid`.

    `target` is an absolute path, or a name below `/run/secrets` (secrets) or `/` (configs).
    """

    id: str = ""
    name: str = ""
    target: str = ""
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


class LogDriver(Struct, frozen=True, kw_only=True):
    """Where a container's output goes: `json-file` (also by the name `local`) or `none`."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict[str, str])


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

    `env` holds `NAME=VALUE`, each name once, and a bare `NAME` takes away what the image says of
    it; `hosts` holds `NAME:IP`. Capabilities are named `CAP_CHOWN`, or `ALL`; `seccomp` is empty
    (the default), `unconfined` or a profile as JSON; `apparmor` is empty (the node's own),
    `unconfined` or a profile's name. `host_user_namespace` keeps the ids of a node that would
    remap them.
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
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()


class GenericResource(Struct, frozen=True, kw_only=True):
    """So many of a kind, or these: a node has either, a task reserves a count, a claim names."""

    kind: str = ""
    count: int = 0
    names: tuple[str, ...] = ()


class Resources(Struct, frozen=True, kw_only=True):
    """What a node has or a task reserves.

    `nano_cpus` is what a client of Docker's asked for, where that was finer than `cpu_millis`,
    which counts: it is told to those who ask.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0
    generic: tuple[GenericResource, ...] = ()
    nano_cpus: int = 0


class Limits(Struct, frozen=True, kw_only=True):
    """What the kernel lets a task use at most; 0 is no limit.

    `swap_bytes` comes on top of a memory limit: 0 is none, -1 all that the host has.
    `swappiness` is 0 to 100, or -1 for the host's own; `nano_cpus` is as in `Resources`.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0
    pids: int = 0
    swap_bytes: int = 0
    swappiness: int = -1
    nano_cpus: int = 0


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """`max_attempts` 0 is no bound; `window_s` 0 counts attempts over all time.

    The delay doubles with each end in a row up to `max_delay_s`, unless that is 0.
    """

    condition: RestartCondition = RestartCondition.ANY
    delay_s: float = 5.0
    max_attempts: int = 0
    window_s: float = 0.0
    max_delay_s: float = 0.0


class Platform(Struct, frozen=True, kw_only=True):
    """What an image was built for; an empty half admits all."""

    os: str = ""
    arch: str = ""


class Affinity(Struct, frozen=True, kw_only=True):
    """Be where tasks of `service` are or, `anti`, are not.

    `topology` is an attribute as in constraints: the nodes that have the same value count as
    one place. A wish that is not `required` only ranks nodes.
    """

    service: str = ""
    anti: bool = False
    required: bool = True
    topology: str = "node.id"


class Taint(Struct, frozen=True, kw_only=True):
    """What keeps tasks that do not tolerate it away from a node."""

    key: str = ""
    value: str = ""
    effect: TaintEffect = TaintEffect.NO_SCHEDULE


class Toleration(Struct, frozen=True, kw_only=True):
    """Bears taints of `key` (empty: of every key), of `value` unless `any_value`.

    It bears all effects unless `effects` lists some.
    """

    key: str = ""
    value: str = ""
    any_value: bool = False
    effects: tuple[TaintEffect, ...] = ()


class Placement(Struct, frozen=True, kw_only=True):
    """Constraints such as `node.labels.zone == east`; `max_replicas_per_node` 0 is no bound.

    `preferences` are attributes to spread over, the most significant first.
    """

    constraints: tuple[str, ...] = ()
    max_replicas_per_node: int = 0
    preferences: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    strategy: Strategy = Strategy.SPREAD


class Dependency(Struct, frozen=True, kw_only=True):
    """Tasks do not start before `service` (a name) is as far as `condition` says."""

    service: str = ""
    condition: DependencyCondition = DependencyCondition.RUNNING


class NetworkAttachment(Struct, frozen=True, kw_only=True):
    """A network that tasks are in; `target` is its id, or one that every node has by itself.

    `aliases` are further names of the service in that network; `driver_options` are kept for
    whoever asks for them, since our drivers take none.
    """

    target: str = ""
    aliases: tuple[str, ...] = ()
    driver_options: dict[str, str] = field(default_factory=dict[str, str])


class TaskSpec(Struct, frozen=True, kw_only=True):
    """All that a task is made from; a change of it makes a new version of the service.

    Without `networks` a task is in the node's own bridge, unless it publishes ports of the
    swarm's. Its image is fetched with the login that the service was given, if there is a
    `registry_login`: managers say so, whatever a client says.
    """

    container: ContainerSpec = ContainerSpec()
    limits: Limits = Limits()
    reservations: Resources = Resources()
    restart: RestartPolicy = RestartPolicy()
    placement: Placement = Placement()
    networks: tuple[NetworkAttachment, ...] = ()
    force_update: int = 0
    log_driver: LogDriver = LogDriver()
    priority: int = 0
    depends_on: tuple[Dependency, ...] = ()
    registry_login: bool = False

    @property
    def is_on_host(self) -> bool:
        """Whether tasks share their node's network."""
        return any(each.target == HOST for each in self.networks)


class Replicated(Struct, frozen=True, kw_only=True):
    """Keep `replicas` tasks running, in slots numbered from 1."""

    replicas: int = 1


class Global(Struct, frozen=True, kw_only=True):
    """Keep one task running on every node that the placement admits."""


class ReplicatedJob(Struct, frozen=True, kw_only=True):
    """Run `total` tasks to their good end, `max_concurrent` at a time (0: all at once)."""

    max_concurrent: int = 0
    total: int = 1


class GlobalJob(Struct, frozen=True, kw_only=True):
    """Run one task to its good end on every node that the placement admits."""


class UpdatePolicy(Struct, frozen=True, kw_only=True):
    """Replace `parallelism` tasks at a time (0: all at once), waiting `delay_s` in between.

    A new task that fails within `monitor_s` of its start counts against `max_failure_ratio`.
    `canary` replicas are replaced first, and the rest once somebody promotes them (0: none).
    """

    parallelism: int = 1
    delay_s: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST
    monitor_s: float = 5.0
    max_failure_ratio: float = 0.0
    failure_action: FailureAction = FailureAction.PAUSE
    canary: int = 0


class Schedule(Struct, frozen=True, kw_only=True):
    """When a job runs: a cron expression in an IANA time zone (empty: UTC).

    Of the runs that ended, `keep_completed` and `keep_failed` are remembered with their tasks.
    """

    expression: str = ""
    timezone: str = ""
    catchup: Catchup = Catchup.LATEST
    concurrency: Concurrency = Concurrency.ALLOW
    keep_completed: int = 3
    keep_failed: int = 1


class Autoscale(Struct, frozen=True, kw_only=True):
    """Keep `least` to `most` replicas so that their use comes to each target that is not 0.

    `cpu_percent` is of the reservation, else of the limit, else of one core; `memory_percent`
    of the reservation, else of the limit. `query` is PromQL for one number that ought to be
    `target` for each replica. Growing waits until it was called for throughout `up_window_s`,
    and shrinking throughout `down_window_s`.
    """

    least: int = 1
    most: int = 1
    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    query: str = ""
    target: float = 0.0
    up_window_s: float = 0.0
    down_window_s: float = 300.0


class Port(Struct, frozen=True, kw_only=True):
    """A port of the tasks that others may reach; `published` 0 is any that is free.

    `name` is what its operator calls it.
    """

    target: int = 0
    published: int = 0
    protocol: Protocol = Protocol.TCP
    mode: PublishMode = PublishMode.INGRESS
    ip: str = ""
    name: str = ""


class Subnet(Struct, frozen=True, kw_only=True):
    """A range of addresses, in CIDR.

    Tasks get theirs from `ip_range`, or from all of it when that is empty, but for the gateway's
    and for `aux_addresses`, which are kept for others, by name.
    """

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: dict[str, str] = field(default_factory=dict[str, str])


class NetworkSpec(Struct, frozen=True, kw_only=True):
    """A network as its operator wants it; `mtu` 0 is what the path between nodes leaves.

    An `internal` one has no way out; only an `attachable` one takes in single containers; the
    `ingress` one carries what services publish, and there is one at most.
    """

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    driver: NetworkDriver = NetworkDriver.OVERLAY
    subnets: tuple[Subnet, ...] = ()
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    encrypted: bool = False
    ingress: bool = False
    mtu: int = 0
    options: dict[str, str] = field(default_factory=dict[str, str])


class EndpointSpec(Struct, frozen=True, kw_only=True):
    """How a service is reached."""

    mode: EndpointMode = EndpointMode.VIP
    ports: tuple[Port, ...] = ()


Mode = Replicated | Global | ReplicatedJob | GlobalJob


class ServiceSpec(Struct, frozen=True, kw_only=True):
    """A service as its operator wants it.

    `max_unavailable` replicas may be down at once because of drains and moves; 0 is unset.
    """

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    mode: Replicated | Global | ReplicatedJob | GlobalJob = Replicated()
    task: TaskSpec = TaskSpec()
    update: UpdatePolicy = UpdatePolicy()
    rollback: UpdatePolicy = UpdatePolicy()
    schedule: Schedule | None = None
    autoscale: Autoscale | None = None
    endpoint: EndpointSpec = EndpointSpec()
    max_unavailable: int = 0

    @property
    def is_job(self) -> bool:
        """Whether its tasks are to end by themselves."""
        return isinstance(self.mode, ReplicatedJob | GlobalJob)


class SecretSpec(Struct, frozen=True, kw_only=True):
    """A secret as its operator wants it, apart from its data."""

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    template_driver: str = ""


class ConfigSpec(Struct, frozen=True, kw_only=True):
    """A config as its operator wants it, apart from its data."""

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    template_driver: str = ""


class NodeSpec(Struct, frozen=True, kw_only=True):
    """A node as its operator wants it.

    A drain waits `drain_timeout_s` for replacements (0: as long as it takes) where a service
    lets them start first. `name` is what its operator calls it; commands go by its host's name.
    """

    role: Role = Role.WORKER
    availability: Availability = Availability.ACTIVE
    labels: dict[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    drain_timeout_s: float = 0.0
    name: str = ""


class Consensus(Struct, frozen=True, kw_only=True):
    """What Docker's clients may say of how managers agree, and of the CA; kept for those who ask.

    etcd goes by its own; `root_rotations` is a counter that clients choose.
    """

    snapshot_interval: int = 5_000
    kept_snapshots: int = 0
    slow_follower_entries: int = 5_000
    root_rotations: int = 0


class ClusterSpec(Struct, frozen=True, kw_only=True):
    """The swarm's own settings; a node is lost after three silent heartbeats.

    Networks without a subnet get one of `subnet_bits` out of `address_pools`.
    """

    cert_expiry_s: float = 90 * 86400.0
    heartbeat_s: float = 1.0
    task_history_limit: int = 5
    rebalance_on_join: bool = False
    prometheus_url: str = ""
    address_pools: tuple[str, ...] = ("10.0.0.0/8",)
    subnet_bits: int = 24
    data_path_port: int = 4789
    labels: dict[str, str] = field(default_factory=dict[str, str])
    consensus: Consensus = Consensus()
