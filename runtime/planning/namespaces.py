"""Plan how a process comes into the namespaces of its container.

Namespaces that exist are joined with the host's rights, before the user namespace is entered;
new ones are made after, so that its root has rights over them. A new pid or time namespace has
only children in it, so a process that is to be in one is forked once more; where the caller
makes the pid namespace (`Plan.clone`), and it may, nobody in between is needed. A network that
somebody else connects is made before all else, so that he has the longest time for it.
"""

from runtime import constants as k
from runtime.oci.config import Config, Linux
from runtime.oci.names import CLOCKS, NAMESPACES, dotted
from runtime.planning.place import Extras, has_user_namespace, is_new, namespace_path
from runtime.steps import (
    BecomeRoot,
    ContainerStep,
    EnterNamespaces,
    EnterUserNamespace,
    Fork,
    LoopbackUp,
    MakeUserNamespace,
    OfferNetwork,
    OpenUserNamespace,
    SetDomainname,
    SetHostname,
    SetTimeOffsets,
    Unshare,
)

# In which order they are joined: after that of mounts, paths mean something else.
_JOINED = ("pid", "time", "network", "ipc", "uts", "cgroup", "mount")
_MADE = ("mount", "uts", "ipc", "network", "cgroup", "pid", "time")


def clone_flags(config: Config) -> int:
    """What the first fork makes: the pid namespace, unless it has to belong to another's root."""
    return 0 if needs_fork(config) or not is_new(config, "pid") else k.CLONE_NEWPID


def needs_fork(config: Config) -> bool:
    """Whether a process in between has to enter namespaces before process 1 is forked."""
    joins_pids = bool(namespace_path(config, "pid"))
    makes_pids = is_new(config, "pid")
    return joins_pids or is_new(config, "time") or (makes_pids and has_user_namespace(config))


def open_user(config: Config) -> list[ContainerStep]:
    """Have the user namespace ready: id-mapped mounts need it before anyone is in it."""
    path, linux = namespace_path(config, "user"), config.linux or Linux()
    if path is None:
        return []
    if path:
        return [OpenUserNamespace(path)]
    return [MakeUserNamespace(linux.uid_mappings, linux.gid_mappings)]


def join(config: Config) -> list[ContainerStep]:
    """Join the namespaces that exist, but for the user namespace."""
    paths = ((kind, namespace_path(config, kind)) for kind in _JOINED)
    found = tuple((NAMESPACES[kind][0], path) for kind, path in paths if path)
    return [EnterNamespaces(found)] if found else []


def makes_network_first(config: Config, extras: Extras) -> bool:
    """Whether the network namespace comes before all else; it may have to be made in another's."""
    return extras.awaits_network and not has_user_namespace(config)


def make_network() -> list[ContainerStep]:
    """Make it, and have it connected. Who listens on an address of `lo` needs that up."""
    return [Unshare(k.CLONE_NEWNET), LoopbackUp(), OfferNetwork()]


def make(config: Config, extras: Extras) -> list[ContainerStep]:
    """Make the others, and be process 1 after that."""
    steps: list[ContainerStep] = []
    linux = config.linux or Linux()
    if has_user_namespace(config):
        steps += [EnterUserNamespace(), BecomeRoot()]
    made = [kind for kind in _MADE if is_new(config, kind)]
    flags = sum(NAMESPACES[kind][0] for kind in made) & ~clone_flags(config)
    if makes_network_first(config, extras):
        flags &= ~k.CLONE_NEWNET
    if flags:
        steps.append(Unshare(flags))
    if linux.time_offsets and "time" in made:
        steps.append(
            SetTimeOffsets(
                tuple(
                    (CLOCKS[name], offset.secs, offset.nanosecs)
                    for name, offset in sorted(linux.time_offsets.items())
                )
            )
        )
    if needs_fork(config):
        steps.append(Fork())
    return steps


def furnish(config: Config, extras: Extras) -> list[ContainerStep]:
    """What new namespaces have that others do not."""
    steps: list[ContainerStep] = []
    if is_new(config, "network") and not makes_network_first(config, extras):
        steps.append(LoopbackUp())
        if extras.awaits_network:
            steps.append(OfferNetwork())
    if config.hostname:
        steps.append(SetHostname(config.hostname))
    if config.domainname:
        steps.append(SetDomainname(config.domainname))
    return steps


def of_sysctl(name: str) -> str:
    """The kind of namespace that has a kernel parameter of its own."""
    if dotted(name).startswith("net."):
        return "network"
    return "uts" if name.endswith(("hostname", "domainname")) else "ipc"


def all_flags(config: Config) -> int:
    """CLONE_NEW* of every kind of namespace that the container does not share with the host."""
    kinds = {namespace.type for namespace in (config.linux.namespaces if config.linux else ())}
    return sum(NAMESPACES[kind][0] for kind in kinds)
