"""Name the flags of `service create` and `service update`.

A flag that was not given is `None` or empty, which differs from every value: an update changes
only what its flags name. The names are the flags' own, so that click's answer converts as it
is.
"""

from msgspec import Struct

from swarm.specs import FileReference


class ServiceFlags(Struct, frozen=True, kw_only=True):
    """What both create and update know."""

    autoscale: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    credential_spec: str | None = None
    endpoint_mode: str | None = None
    entrypoint: str | None = None
    health_cmd: str | None = None
    health_interval: float | None = None
    health_retries: int | None = None
    health_start_interval: float | None = None
    health_start_period: float | None = None
    health_timeout: float | None = None
    hostname: str | None = None
    init: bool | None = None
    interactive: bool | None = None
    isolation: str | None = None
    limit_cpu: int | None = None
    limit_memory: int | None = None
    limit_pids: int | None = None
    log_driver: str | None = None
    log_opt: tuple[str, ...] = ()
    max_concurrent: int | None = None
    max_unavailable: int | None = None
    memory_swap: int | None = None
    memory_swappiness: int | None = None
    no_healthcheck: bool = False
    oom_score_adj: int | None = None
    priority: int | None = None
    privileged: bool | None = None
    read_only: bool | None = None
    replicas: int | None = None
    replicas_max_per_node: int | None = None
    reserve_cpu: int | None = None
    reserve_memory: int | None = None
    restart_condition: str | None = None
    restart_delay: float | None = None
    restart_max_attempts: int | None = None
    restart_max_delay: float | None = None
    restart_window: float | None = None
    rollback_delay: float | None = None
    rollback_failure_action: str | None = None
    rollback_max_failure_ratio: float | None = None
    rollback_monitor: float | None = None
    rollback_order: str | None = None
    rollback_parallelism: int | None = None
    schedule: str | None = None
    schedule_catchup: str | None = None
    schedule_concurrency: str | None = None
    schedule_keep: int | None = None
    schedule_keep_failed: int | None = None
    schedule_timezone: str | None = None
    security_opt: tuple[str, ...] = ()
    stop_grace_period: float | None = None
    stop_signal: str | None = None
    strategy: str | None = None
    tty: bool | None = None
    update_canary: int | None = None
    update_delay: float | None = None
    update_failure_action: str | None = None
    update_max_failure_ratio: float | None = None
    update_monitor: float | None = None
    update_order: str | None = None
    update_parallelism: int | None = None
    user: str | None = None
    userns: str | None = None
    workdir: str | None = None


class CreateFlags(Struct, frozen=True, kw_only=True):
    """What only create knows. `env` has the files' entries first.

    Configs and secrets have been looked up, since their flags name them and a spec has ids.
    """

    image: str
    arguments: tuple[str, ...] = ()
    name: str = ""
    mode: str | None = None
    affinity: tuple[str, ...] = ()
    configs: tuple[FileReference, ...] = ()
    constraint: tuple[str, ...] = ()
    container_label: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    generic_resource: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    placement_pref: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    secrets: tuple[FileReference, ...] = ()
    sysctl: tuple[str, ...] = ()
    toleration: tuple[str, ...] = ()
    ulimit: tuple[str, ...] = ()


class UpdateFlags(Struct, frozen=True, kw_only=True):
    """What only update knows; configs and secrets to add have been looked up."""

    args: str | None = None
    force: bool = False
    image: str | None = None
    no_autoscale: bool = False
    no_schedule: bool = False
    affinity_add: tuple[str, ...] = ()
    affinity_rm: tuple[str, ...] = ()
    config_rm: tuple[str, ...] = ()
    configs: tuple[FileReference, ...] = ()
    constraint_add: tuple[str, ...] = ()
    constraint_rm: tuple[str, ...] = ()
    container_label_add: tuple[str, ...] = ()
    container_label_rm: tuple[str, ...] = ()
    depends_on_add: tuple[str, ...] = ()
    depends_on_rm: tuple[str, ...] = ()
    device_add: tuple[str, ...] = ()
    device_rm: tuple[str, ...] = ()
    dns_add: tuple[str, ...] = ()
    dns_option_add: tuple[str, ...] = ()
    dns_option_rm: tuple[str, ...] = ()
    dns_rm: tuple[str, ...] = ()
    dns_search_add: tuple[str, ...] = ()
    dns_search_rm: tuple[str, ...] = ()
    env_add: tuple[str, ...] = ()
    env_rm: tuple[str, ...] = ()
    generic_resource_add: tuple[str, ...] = ()
    generic_resource_rm: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    group_rm: tuple[str, ...] = ()
    host_add: tuple[str, ...] = ()
    host_rm: tuple[str, ...] = ()
    label_add: tuple[str, ...] = ()
    label_rm: tuple[str, ...] = ()
    mount_add: tuple[str, ...] = ()
    mount_rm: tuple[str, ...] = ()
    network_add: tuple[str, ...] = ()
    network_rm: tuple[str, ...] = ()
    placement_pref_add: tuple[str, ...] = ()
    placement_pref_rm: tuple[str, ...] = ()
    platform_add: tuple[str, ...] = ()
    platform_rm: tuple[str, ...] = ()
    publish_add: tuple[str, ...] = ()
    publish_rm: tuple[str, ...] = ()
    secret_rm: tuple[str, ...] = ()
    secrets: tuple[FileReference, ...] = ()
    sysctl_add: tuple[str, ...] = ()
    sysctl_rm: tuple[str, ...] = ()
    toleration_add: tuple[str, ...] = ()
    toleration_rm: tuple[str, ...] = ()
    ulimit_add: tuple[str, ...] = ()
    ulimit_rm: tuple[str, ...] = ()
