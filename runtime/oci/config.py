"""Hold an OCI bundle's config.json, as far as it says anything to a Linux runtime.

Field by field the OCI runtime specification 1.2 (config.md, config-linux.md); names are its
own in snake case. None and empty mean that the file did not say: what then holds is the
kernel's own default, or what the specification says, decided where it is used. Nothing is
checked here (`runtime.oci.checks`), and properties that are unknown are ignored, as the
specification asks.
"""

from typing import Any

import msgspec
from msgspec import Struct

VERSION = "1.2.1"


class _Part(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A JSON object of the file."""


class Root(_Part, frozen=True):
    """The root file system. `path` may be relative to the bundle."""

    path: str
    readonly: bool = False


class IdMapping(_Part, frozen=True):
    """`size` ids from `container_id` on are those from `host_id` on."""

    container_id: int = msgspec.field(name="containerID")
    host_id: int = msgspec.field(name="hostID")
    size: int


class Mount(_Part, frozen=True):
    """One mount, in the order of the file. `options` are those of fstab(5) and the spec's."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


class ConsoleSize(_Part, frozen=True):
    """A terminal's size in characters."""

    height: int
    width: int


class User(_Part, frozen=True):
    """Who the process is; `umask` None leaves it at 0022."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Capabilities(_Part, frozen=True):
    """The five sets, as names such as CAP_CHOWN."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(_Part, frozen=True):
    """`type` is such as RLIMIT_NOFILE; 2**64-1 is unlimited."""

    type: str
    soft: int
    hard: int


class Scheduler(_Part, frozen=True):
    """sched_setattr(2): `policy` is such as SCHED_OTHER; times in nanoseconds."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IoPriority(_Part, frozen=True):
    """ioprio_set(2): `io_class` is IOPRIO_CLASS_RT, _BE or _IDLE; the lower, the sooner."""

    io_class: str = msgspec.field(name="class")
    priority: int = 0


class CpuAffinity(_Part, frozen=True):
    """CPU lists such as `0-3,7`: `initial` in force until the program runs, then `final`."""

    initial: str = ""
    final: str = ""


class Process(_Part, frozen=True):
    """The program and its rights. `capabilities` None means none."""

    args: tuple[str, ...] = ()
    cwd: str = "/"
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    selinux_label: str = ""
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    exec_cpu_affinity: CpuAffinity | None = msgspec.field(name="execCPUAffinity", default=None)


class Hook(_Part, frozen=True):
    """A program that is given the state on its standard input; `timeout` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Hooks(_Part, frozen=True):
    """Programs to run, by when."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class Namespace(_Part, frozen=True):
    """A new namespace, or with `path` one that exists."""

    type: str
    path: str = ""


class Device(_Part, frozen=True):
    """A device node to be made. `type` is b, c, u or p; `file_mode` None is 0666."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int = 0
    gid: int = 0


class DeviceRule(_Part, frozen=True):
    """Which devices may be used: `type` a (all), b or c; None is any number."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = ""


class Memory(_Part, frozen=True):
    """Bytes; -1 is unlimited. `swap` counts memory and swap together."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = msgspec.field(name="kernelTCP", default=None)
    swappiness: int | None = None
    disable_oom_killer: bool | None = msgspec.field(name="disableOOMKiller", default=None)
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class Cpu(_Part, frozen=True):
    """Times in microseconds; `cpus` and `mems` are lists such as `0-3,7`."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class Pids(_Part, frozen=True):
    """How many processes there may be; -1 is unlimited."""

    limit: int


class WeightDevice(_Part, frozen=True):
    """A device's own share, 10 to 1000."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(_Part, frozen=True):
    """Bytes or operations a second."""

    major: int
    minor: int
    rate: int


class BlockIo(_Part, frozen=True):
    """Shares (10 to 1000) and limits of block devices."""

    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = msgspec.field(
        name="throttleReadIOPSDevice", default=()
    )
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = msgspec.field(
        name="throttleWriteIOPSDevice", default=()
    )


class HugepageLimit(_Part, frozen=True):
    """Bytes in pages of a size such as 2MB."""

    page_size: str
    limit: int


class InterfacePriority(_Part, frozen=True):
    """What traffic through an interface counts."""

    name: str
    priority: int


class Network(_Part, frozen=True):
    """Marks for traffic, cgroup v1 only."""

    class_id: int | None = msgspec.field(name="classID", default=None)
    priorities: tuple[InterfacePriority, ...] = ()


class Rdma(_Part, frozen=True):
    """Limits of one RDMA device."""

    hca_handles: int | None = None
    hca_objects: int | None = None


class Resources(_Part, frozen=True):
    """What the kernel lets the container use. `unified` are cgroup v2 files and their values."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIo | None = msgspec.field(name="blockIO", default=None)
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: Network | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


class SyscallArg(_Part, frozen=True):
    """Compares one argument; `op` is such as SCMP_CMP_EQ."""

    index: int
    value: int
    op: str
    value_two: int = 0


class Syscall(_Part, frozen=True):
    """What happens to the system calls in `names` whose arguments fit all of `args`."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SyscallArg, ...] = ()


class Seccomp(_Part, frozen=True):
    """A filter for system calls; actions are such as SCMP_ACT_ERRNO."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[Syscall, ...] = ()


class Personality(_Part, frozen=True):
    """personality(2): `domain` is LINUX or LINUX32."""

    domain: str
    flags: tuple[str, ...] = ()


class TimeOffset(_Part, frozen=True):
    """What a clock of the time namespace is ahead of the host's."""

    secs: int = 0
    nanosecs: int = 0


class IntelRdt(_Part, frozen=True):
    """Cache and memory bandwidth allocation through resctrl."""

    clos_id: str = msgspec.field(name="closID", default="")
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_cmt: bool = msgspec.field(name="enableCMT", default=False)
    enable_mbm: bool = msgspec.field(name="enableMBM", default=False)


class Linux(_Part, frozen=True):
    """What only Linux has."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: dict[str, TimeOffset] = {}
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources | None = None
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None
    intel_rdt: IntelRdt | None = None


class Config(_Part, frozen=True):
    """The file. Parts of other systems (`windows`, `solaris`, `vm`, `zos`) are kept unread."""

    oci_version: str
    root: Root | None = None
    process: Process | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = {}
    linux: Linux | None = None
    windows: dict[str, Any] | None = None
    solaris: dict[str, Any] | None = None
    vm: dict[str, Any] | None = None
    zos: dict[str, Any] | None = None
