"""Tell what of the runtime specification there is here, in the specification's own words.

This is about the program and not about the host: an engine asks before it writes a config,
and the host may lack what we have. The one exception is `supportedFlags` of seccomp, for which
the specification itself asks the host. What stands here as a list is read from the tables that
the checks use, so nothing is promised that a config may not contain.
"""

from msgspec import Struct

from runtime.oci import names
from runtime.oci.config import VERSION

_HOOKS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip


class Cgroup(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which ways of making control groups there are."""

    v1: bool = True
    v2: bool = True
    systemd: bool = False
    systemd_user: bool = False
    rdma: bool = True


class SeccompFeatures(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which words a filter may use; `supported_flags` are those that the kernel has too."""

    enabled: bool = True
    actions: tuple[str, ...] = tuple(sorted(names.SECCOMP_ACTIONS))
    operators: tuple[str, ...] = tuple(sorted(names.SECCOMP_OPERATORS))
    archs: tuple[str, ...] = tuple(sorted(names.SECCOMP_ARCHITECTURES))
    known_flags: tuple[str, ...] = tuple(sorted(names.SECCOMP_FLAGS))
    supported_flags: tuple[str, ...]


class Switch(Struct, frozen=True):
    """Something that is there or not."""

    enabled: bool


class MountExtensions(Struct, frozen=True):
    """What mounts may have beyond options."""

    idmap: Switch = Switch(True)


class LinuxFeatures(Struct, frozen=True, kw_only=True, rename="camel"):
    """What only Linux has."""

    namespaces: tuple[str, ...] = tuple(sorted(names.NAMESPACES))
    capabilities: tuple[str, ...] = tuple(names.CAPABILITIES)
    cgroup: Cgroup = Cgroup()
    seccomp: SeccompFeatures
    apparmor: Switch = Switch(True)
    selinux: Switch = Switch(True)
    intel_rdt: Switch = Switch(False)
    mount_extensions: MountExtensions = MountExtensions()


class Features(Struct, frozen=True, kw_only=True, rename="camel"):
    """The features structure; encoded as JSON it is what `swarm-runtime features` prints."""

    oci_version_min: str = "1.0.0"
    oci_version_max: str = VERSION
    hooks: tuple[str, ...] = _HOOKS
    mount_options: tuple[str, ...]
    linux: LinuxFeatures
    annotations: dict[str, str]
    potentially_unsafe_config_annotations: tuple[str, ...] = ()


def features(
    *, version: str, libseccomp: str = "", supported_flags: tuple[str, ...] = ()
) -> Features:
    """`version` is ours, `libseccomp` that of the library, if it is there."""
    options = {
        *names.MOUNT_FLAGS, *names.PROPAGATION, *names.RECURSIVE_ATTRIBUTES,
        *names.MOUNT_EXTENSIONS,
    }  # fmt: skip
    annotations = {"io.swarmd.runtime.version": version}
    if libseccomp:
        annotations["io.github.seccomp.libseccomp.version"] = libseccomp
    seccomp = SeccompFeatures(enabled=bool(libseccomp), supported_flags=supported_flags)
    return Features(
        mount_options=tuple(sorted(options)),
        linux=LinuxFeatures(seccomp=seccomp),
        annotations=annotations,
    )
