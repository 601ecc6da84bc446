"""Describe one container completely, as the kernel will be asked for it.

Nothing is looked up later: paths are absolute and of this host (but `target`, `workdir` and
`File.path`, which are the container's), limits are numbers, defaults are already applied.
The two exceptions are names that only the image can resolve: `user` and `additional_groups`
are read in the container's own /etc/passwd and /etc/group. Encoded as JSON, this is what
crosses the launcher's socket and what is kept beside a running container.
"""

from enum import Enum

from msgspec import Struct

from runtime.defaults import (
    CAPABILITIES,
    MASKED_PATHS,
    READONLY_PATHS,
    SHM_BYTES,
)
from runtime.oci.config import IdMapping

HOST = "host"  # of a namespace: the host's own
CONTAINER = "container:"  # of a namespace: that of the container whose id follows


class MountKind(Enum):
    """Where a mount's content comes from."""

    BIND = "bind"
    TMPFS = "tmpfs"


class Propagation(Enum):
    """Whether mounts below a bind appear on the other side of it, as in mount(8)."""

    RPRIVATE = "rprivate"
    PRIVATE = "private"
    RSLAVE = "rslave"
    SLAVE = "slave"
    RSHARED = "rshared"
    SHARED = "shared"


class Overlay(Struct, frozen=True, kw_only=True):
    """The root file system. `lower_dirs` has the topmost layer first.

    `upper_dir` and `work_dir` are made by the runtime and removed with the container; they
    belong to this container alone and lie in one file system. A `lasting` layer is there for
    the next container, too: it may exist before, and stays whatever becomes of a start. What is
    written to it is on disk when fsync(2) says so, unless it is `volatile`: then nobody will
    want it after a crash of the host, and a container's end does not wait for disks.
    """

    lower_dirs: tuple[str, ...]
    upper_dir: str
    work_dir: str
    lasting: bool = False
    volatile: bool = False

    @property
    def is_synced(self) -> bool:
        """Whether it outlives the host."""
        return self.lasting and not self.volatile


class Mount(Struct, frozen=True, kw_only=True):
    """A directory or file of the host (`BIND`, volumes too) or fresh memory (`TMPFS`).

    `copy_up` fills an empty `source` directory with what the image holds at `target`, owners
    and modes kept, before it is mounted. `size_bytes` 0 is the kernel's own limit. `mapped`: in a
    container with a user namespace, ids on the source are the container's, as for its root.
    What is mounted below the source comes along if the mount is `recursive`. With `subpath` it is
    that path in the source which is mounted; links in it lead nowhere else. `options` are more
    of mount(8)'s, for memory; the later of two that contradict each other counts.
    """

    kind: MountKind = MountKind.BIND
    source: str = ""
    target: str
    read_only: bool = False
    propagation: Propagation = Propagation.RPRIVATE
    copy_up: bool = False
    size_bytes: int = 0
    mode: int = 0o1777
    mapped: bool = False
    recursive: bool = True
    subpath: str = ""
    options: tuple[str, ...] = ()


class File(Struct, frozen=True, kw_only=True):
    """A small file written by us and bound over `path`, such as /etc/hosts."""

    path: str
    content: str
    mode: int = 0o644


class RateKind(Enum):
    """What is counted of a block device."""

    WEIGHT = "weight"
    READ_BYTES = "read bytes"
    WRITE_BYTES = "write bytes"
    READS = "reads"
    WRITES = "writes"


class DeviceRate(Struct, frozen=True, kw_only=True):
    """What a container may do with one block device a second; a WEIGHT is 10 to 1000."""

    major: int
    minor: int
    kind: RateKind
    rate: int


class Resources(Struct, frozen=True, kw_only=True):
    """What the kernel lets the container use at most; 0 and empty are no limit, or its own.

    `memory_swap_bytes` counts memory and swap together, as Docker's --memory-swap does: 0
    allows no swap at all, -1 as much as there is. `memory_swappiness` -1 is the host's own.
    `cpuset_*` are lists such as `0-1,3`. `cpu_shares` are as in cgroup v1, where 1024 are fair;
    a quota and its period take the place of `cpu_millis`. `blkio_weight` is 10 to 1000.
    """

    cpu_millis: int = 0
    cpu_shares: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_swappiness: int = -1
    pids_limit: int = 0
    memory_reservation_bytes: int = 0
    oom_kill_disable: bool = False
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    device_rates: tuple[DeviceRate, ...] = ()


class Rlimit(Struct, frozen=True, kw_only=True):
    """A limit of setrlimit(2): `name` is such as `nofile`; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Log(Struct, frozen=True, kw_only=True):
    """Where output goes, as JSON lines. `max_bytes` 0 never rotates.

    `max_files` counts the file being written: `path`, then `path.1` to `path.<max_files-1>`;
    0 keeps nothing, and whoever is attached sees it all the same.
    """

    path: str
    max_bytes: int = 10 * 1024 * 1024
    max_files: int = 3


class Device(Struct, frozen=True, kw_only=True):
    """A device of the host for the container; a directory means all devices in it.

    `access` is of `r`, `w` and `m` (make nodes).
    """

    source: str
    target: str
    access: str = "rwm"


class UserNamespace(Struct, frozen=True, kw_only=True):
    """Which ids of the host the container's own ids are; what has none is nobody."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]


class Health(Struct, frozen=True, kw_only=True):
    """How to find out whether the program does its work: run `args`, exit code 0 is healthy.

    Failures count from `start_period_s` on, or from the first success; `retries` of them in a
    row make it unhealthy. Until then checks are `start_interval_s` apart, later `interval_s`.
    """

    args: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0
    start_interval_s: float = 5.0


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """One container. Values that are empty mean the image's or the kernel's own default.

    `user` is one of ``""``, `uid`, `uid:gid`, `name`, `name:group`; `env` holds `NAME=VALUE`.
    `hostname` empty keeps the host's. Without `host_network` the container gets a network
    namespace of its own with nothing but loopback, or joins `network_namespace`. One that
    `awaits_network` does not run its program before somebody has connected its own namespace.
    Each other `*_namespace` is empty for one of its own, `host`, or what to join; what is joined
    is a path or `container:ID`, a container that runs below the same run root. With another's
    IPC namespace comes what that has at /dev/shm; with the host's, the host's. `shm_bytes` is the
    size of its own, and 0 is none.
    `cgroup_parent` keeps several hosts on one machine apart. `seccomp` is `default`,
    `unconfined` or a profile as JSON in Docker's format. `privileged` takes away every fence but
    the namespaces. `device_rules` are such as `c 1:3 rwm` or `a *:* m`. With `tty` standard
    streams are one terminal of `columns` and `rows`; without `open_stdin` nothing can be written
    to the program. `annotations` change nothing: they are kept with the spec, for whoever wants
    to know what a container is.
    """

    id: str
    args: tuple[str, ...]
    rootfs: Overlay
    log: Log
    env: tuple[str, ...] = ()
    workdir: str = "/"
    user: str = ""
    additional_groups: tuple[str, ...] = ()
    hostname: str = ""
    read_only_rootfs: bool = False
    mounts: tuple[Mount, ...] = ()
    files: tuple[File, ...] = ()
    host_network: bool = False
    network_namespace: str = ""
    pid_namespace: str = ""
    ipc_namespace: str = ""
    uts_namespace: str = ""
    cgroup_namespace: str = ""
    domainname: str = ""
    shm_bytes: int = SHM_BYTES
    awaits_network: bool = False
    resources: Resources = Resources()
    cgroup_parent: str = "swarmd"
    capabilities: tuple[str, ...] = CAPABILITIES
    rlimits: tuple[Rlimit, ...] = ()
    sysctls: dict[str, str] = {}
    masked_paths: tuple[str, ...] = MASKED_PATHS
    readonly_paths: tuple[str, ...] = READONLY_PATHS
    no_new_privs: bool = True
    oom_score_adj: int = 0
    umask: int = 0o022
    init: bool = False
    privileged: bool = False
    seccomp: str = "default"
    apparmor: str = ""
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()
    user_namespace: UserNamespace | None = None
    tty: bool = False
    rows: int = 24
    columns: int = 80
    open_stdin: bool = False
    health: Health | None = None
    annotations: dict[str, str] = {}
