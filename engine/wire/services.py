"""Lay out a service's spec as Docker's API writes it, for both directions.

Fields that Docker does not have come last in their struct, marked as ours; `swarmctl service
inspect` calls them the same. Docker's own clients pass over them and do not send them back, so
None in one of them says that nothing was said of it.
"""

from msgspec import Struct, field

from engine.wire.decoding import Int32, Int64, Uint32
from engine.wire.shape import Amount, Count
from engine.wire.task_containers import ContainerJson, Unread


class NamedResourceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One certain resource of a kind."""

    kind: str = ""
    value: str = ""


class DiscreteResourceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """So many of a kind."""

    kind: str = ""
    value: Int64 = 0


class GenericResourceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One of both."""

    named_resource_spec: NamedResourceJson | None = None
    discrete_resource_spec: DiscreteResourceJson | None = None


class LimitJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What a task may use at most."""

    nano_cpus: Amount = field(default=0, name="NanoCPUs")
    memory_bytes: Amount = 0
    pids: Int64 = 0


class ReservationJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What is set aside for a task, or what a node has."""

    nano_cpus: Amount = field(default=0, name="NanoCPUs")
    memory_bytes: Amount = 0
    generic_resources: tuple[GenericResourceJson, ...] = ()


class ResourcesJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Both, and how a task uses swap: ours, as long as Docker has it in later versions only."""

    limits: LimitJson | None = None
    reservations: ReservationJson | None = None
    swap_bytes: Int64 | None = None
    memory_swappiness: Int64 | None = None


class RestartPolicyJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Which ends call for another attempt; times are in nanoseconds."""

    condition: str = ""
    delay: Int64 | None = None
    max_attempts: Count | None = None
    window: Int64 | None = None
    max_delay: Int64 | None = None  # ours


class SpreadJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """An attribute of nodes."""

    spread_descriptor: str = ""


class PreferenceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What tasks are spread over."""

    spread: SpreadJson | None = None


class PlatformJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What an image was built for."""

    architecture: str = ""
    os: str = field(default="", name="OS")


class AffinityJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: be where tasks of a service are, or are not."""

    service: str = ""
    anti: bool | None = None
    required: bool | None = None
    topology: str = ""


class TolerationJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: a taint that is borne."""

    key: str = ""
    value: str = ""
    any_value: bool | None = None
    effects: tuple[str, ...] = ()


class PlacementJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Where tasks may run."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[PreferenceJson, ...] = ()
    max_replicas: Count = 0
    platforms: tuple[PlatformJson, ...] = ()
    affinities: tuple[AffinityJson, ...] | None = None  # ours, and what follows
    tolerations: tuple[TolerationJson, ...] | None = None
    strategy: str | None = None


class AttachmentJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A network that tasks are in."""

    target: str = ""
    aliases: tuple[str, ...] = ()
    driver_opts: dict[str, str] = {}


class DriverJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A driver of some kind, and what it is told."""

    name: str = ""
    options: dict[str, str] = {}


class DependencyJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: what tasks wait for."""

    service: str = ""
    condition: str = ""


class TaskJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What tasks are made from."""

    container_spec: ContainerJson | None = None
    plugin_spec: Unread = None
    network_attachment_spec: Unread = None
    resources: ResourcesJson | None = None
    restart_policy: RestartPolicyJson | None = None
    placement: PlacementJson | None = None
    networks: tuple[AttachmentJson, ...] = ()
    log_driver: DriverJson | None = None
    force_update: Amount | None = None
    runtime: str = ""
    priority: Int32 | None = None  # ours, and what follows
    depends_on: tuple[DependencyJson, ...] | None = None


class ReplicatedJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """So many tasks."""

    replicas: Amount | None = None


class ReplicatedJobJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """So many tasks, to their good end."""

    max_concurrent: Amount | None = None
    total_completions: Amount | None = None


class ModeJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One of them."""

    replicated: ReplicatedJson | None = None
    global_: dict[str, object] | None = field(default=None, name="Global")
    replicated_job: ReplicatedJobJson | None = None
    global_job: dict[str, object] | None = None


class PolicyJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How a rollout, or a way back, goes; times are in nanoseconds."""

    parallelism: Count | None = None
    delay: Int64 = 0
    failure_action: str = ""
    monitor: Int64 = 0
    max_failure_ratio: float | None = None
    order: str | None = None
    canary: Count | None = None  # ours


class PortJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A port that is published."""

    name: str = ""
    protocol: str = ""
    target_port: Uint32 = 0
    published_port: Uint32 = 0
    publish_mode: str = ""
    host_ip: str | None = field(default=None, name="HostIP")  # ours


class EndpointJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How a service is reached."""

    mode: str = ""
    ports: tuple[PortJson, ...] = ()


class ScheduleJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: when a job runs."""

    expression: str = ""
    timezone: str = ""
    catchup: str = ""
    concurrency: str = ""
    keep_completed: Count | None = None
    keep_failed: Count | None = None


class AutoscaleJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: how many replicas there are; times are in nanoseconds."""

    min: Amount = 0
    max: Amount = 0
    cpu_percent: float = field(default=0.0, name="CPUPercent")
    memory_percent: float = 0.0
    query: str = ""
    target: float = 0.0
    up_window: Int64 | None = None
    down_window: Int64 | None = None


class ServiceSpecJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A service as its operator wants it."""

    name: str = ""
    labels: dict[str, str] | None = None
    task_template: TaskJson | None = None
    mode: ModeJson | None = None
    update_config: PolicyJson | None = None
    rollback_config: PolicyJson | None = None
    networks: tuple[AttachmentJson, ...] = ()
    endpoint_spec: EndpointJson | None = None
    schedule: ScheduleJson | None = None  # ours, and what follows
    autoscale: AutoscaleJson | None = None
    max_unavailable: Count | None = None
