"""Name the flags of `run` and `create`, as click gives them; what was not given is `None`."""

from msgspec import Struct


class ContainerFlags(Struct, frozen=True, kw_only=True):
    """What both know. `env` has the files' entries first, and so has `label`."""

    image: str
    arguments: tuple[str, ...] = ()
    add_host: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    blkio_weight: int | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroupns: str | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpus: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    device: tuple[str, ...] = ()
    device_cgroup_rule: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    domainname: str | None = None
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    health_cmd: str | None = None
    health_interval: float | None = None
    health_retries: int | None = None
    health_start_interval: float | None = None
    health_start_period: float | None = None
    health_timeout: float | None = None
    hostname: str | None = None
    init: bool = False
    interactive: bool = False
    ip: str | None = None
    ip6: str | None = None
    ipc: str | None = None
    label: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    log_driver: str | None = None
    log_opt: tuple[str, ...] = ()
    mac_address: str | None = None
    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    memory_swappiness: int | None = None
    mount: tuple[str, ...] = ()
    name: str | None = None
    network: tuple[str, ...] = ()
    network_alias: tuple[str, ...] = ()
    no_healthcheck: bool = False
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    pid: str | None = None
    pids_limit: int | None = None
    privileged: bool = False
    publish: tuple[str, ...] = ()
    publish_all: bool = False
    read_only: bool = False
    restart: str | None = None
    rm: bool = False
    security_opt: tuple[str, ...] = ()
    shm_size: int | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    sysctl: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    tty: bool = False
    ulimit: tuple[str, ...] = ()
    user: str | None = None
    userns: str | None = None
    uts: str | None = None
    volume: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    workdir: str | None = None
