"""Lay out the container of a service's tasks as Docker's API writes it, for both directions.

Fields that Docker does not have are marked as ours; see `engine.wire.services`.
"""

from msgspec import Struct, field

from engine.wire.decoding import Int32, Int64, Uint32
from engine.wire.mounts import MountJson

Unread = dict[str, object] | None
"""What is refused when it is there, whatever it holds."""


class UlimitJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A limit of the container's processes."""

    name: str = ""
    hard: Int64 | None = None
    soft: Int64 | None = None


class HealthcheckJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A probe; times are in nanoseconds."""

    test: tuple[str, ...] = ()
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int32 = 0


class ResolverJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What the container knows of name servers."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class FileJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A secret or config as a file."""

    name: str = ""
    uid: str = field(default="", name="UID")
    gid: str = field(default="", name="GID")
    mode: Uint32 | None = None


class SecretReferenceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A secret that the container is given."""

    file: FileJson | None = None
    secret_id: str = field(default="", name="SecretID")
    secret_name: str = ""


class ConfigReferenceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A config that the container is given."""

    file: FileJson | None = None
    runtime: Unread = None
    config_id: str = field(default="", name="ConfigID")
    config_name: str = ""


class CredentialJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Of Windows."""

    config: str = ""
    file: str = ""
    registry: str = ""


class SelinuxJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How SELinux labels the container's processes."""

    disable: bool | None = None
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SeccompJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """`mode` is default, unconfined or custom, with a profile in base64."""

    mode: str = ""
    profile: bytes = b""
    digest: str | None = None  # ours: of a profile that is not shown


class ApparmorJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """`mode` is default, disabled or (ours) the name of a profile."""

    mode: str = ""


class PrivilegesJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What the container may do, apart from its capabilities."""

    credential_spec: CredentialJson | None = None
    selinux_context: SelinuxJson | None = field(default=None, name="SELinuxContext")
    seccomp: SeccompJson | None = None
    app_armor: ApparmorJson | None = None
    no_new_privileges: bool | None = None
    allow_new_privileges: bool | None = None  # ours


class DeviceJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A device of the host; ours."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class ContainerJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A task's container; times are in nanoseconds."""

    image: str = ""
    labels: dict[str, str] = {}
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    privileges: PrivilegesJson | None = None
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = field(default=False, name="TTY")
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[MountJson, ...] = ()
    stop_grace_period: Int64 | None = None
    healthcheck: HealthcheckJson | None = None
    hosts: tuple[str, ...] = ()
    dns_config: ResolverJson | None = field(default=None, name="DNSConfig")
    secrets: tuple[SecretReferenceJson, ...] = ()
    configs: tuple[ConfigReferenceJson, ...] = ()
    isolation: str = ""
    sysctls: dict[str, str] = {}
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[UlimitJson, ...] = ()
    oom_score_adj: Int32 = 0
    privileged: bool | None = None  # ours, and what follows
    devices: tuple[DeviceJson, ...] | None = None
    userns_mode: str | None = None
