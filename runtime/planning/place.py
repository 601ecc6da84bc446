"""Say where a container is on this host, and what a config of OCI has no words for."""

from typing import Final

from msgspec import Struct

from runtime.cgroups.layout import Layout
from runtime.oci.config import Config, IdMapping
from runtime.spec import File, Overlay


class Place(Struct, frozen=True, kw_only=True):
    """What the host gives a container.

    `directory` is the runtime's own for it, `rootfs` the root file system of its bundle (empty
    if `Extras.overlay` makes it), `bundle` what relative sources of binds start from, `cgroup`
    its control group below every hierarchy (`swarmd/<id>`). `last_capability` is the highest
    number that the kernel knows: each one above the bounding set has to be dropped by its
    number. `seccomp_cache` is a directory for compiled filters; empty keeps none. Without
    `labels` the kernel has no SELinux, so labels of mounts would mean nothing to anybody.
    """

    directory: str
    rootfs: str = ""
    bundle: str = ""
    cgroup: str
    layout: Layout
    last_capability: int
    seccomp_cache: str = ""
    labels: bool = True


class CopyingUp(Struct, frozen=True):
    """Fill the directory `source` of the host, if empty, with what the image has at `target`.

    There is a bind from the one to the other. With `mapped` the copies belong to the
    container's ids.
    """

    source: str
    target: str
    mapped: bool = False


class Part(Struct, frozen=True):
    """Bind not `source` to `target` but what is at `below` in it."""

    source: str
    target: str
    below: str


class Borrowed(Struct, frozen=True):
    """Bind to `target` what is there in the mount namespace at `namespace`."""

    target: str
    namespace: str


class Extras(Struct, frozen=True, kw_only=True):
    """What an OCI config does not say.

    `overlay` is the root file system, `files` are written by us and bound over their paths
    unless something else is mounted there. `user` (as in `ContainerSpec`) and
    `additional_groups` are resolved in the image and replace `process.user`. `filter` is a
    compiled seccomp filter, in place of the config's. `state` is the container's state as JSON,
    without pid and status, for hooks and seccomp listeners. `awaits_network`: somebody connects
    the network namespace, which is new, before anything needs it.
    """

    overlay: Overlay | None = None
    copy_ups: tuple[CopyingUp, ...] = ()
    parts: tuple[Part, ...] = ()
    borrowed: tuple[Borrowed, ...] = ()
    files: tuple[File, ...] = ()
    user: str | None = None
    additional_groups: tuple[str, ...] = ()
    init: bool = False
    no_pivot: bool = False
    no_new_keyring: bool = False
    awaits_network: bool = False
    filter: bytes = b""
    state: str = "{}"


NO_EXTRAS: Final = Extras()


def namespace_path(config: Config, kind: str) -> str | None:
    """The path of a namespace to join, empty for a new one, None to stay in the host's."""
    for namespace in config.linux.namespaces if config.linux else ():
        if namespace.type == kind:
            return namespace.path
    return None


def is_new(config: Config, kind: str) -> bool:
    """Whether the container has a namespace of this kind that nobody else has."""
    return namespace_path(config, kind) == ""


def has_user_namespace(config: Config) -> bool:
    """Whether the container's ids are not the host's."""
    return namespace_path(config, "user") is not None


def root_of(mappings: tuple[IdMapping, ...]) -> int:
    """The id of the host that is 0 in the container; 0 if none is."""
    for mapping in mappings:
        if mapping.container_id == 0 and mapping.size > 0:
            return mapping.host_id
    return 0
