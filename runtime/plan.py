"""Turn a container's config into the ordered list of kernel steps that make it.

One planner serves the agent's containers (`runtime.translation`) and those of OCI bundles. The
order carries the security. What the host has is opened while it is in sight, as its root;
then namespaces are joined and made. Everything is mounted before the host is gone, as hooks
expect, but by descriptor onto targets looked up within the container's root: no link in an
image can lead a mount out of it. Kernel parameters are set before /proc/sys turns read-only,
and after the network is connected: some are of an interface, and none is undone by who makes
one. The last rights fall just before exec.
"""

from msgspec import Struct

from runtime import constants as k
from runtime.cgroups import groups
from runtime.oci.config import Config, Hooks, Linux, Process, Resources
from runtime.planning import devices, mounts, namespaces, rights
from runtime.planning.mounts import Arranged, root_path
from runtime.planning.place import (
    NO_EXTRAS,
    Extras,
    Place,
    has_user_namespace,
    is_new,
    namespace_path,
    root_of,
)
from runtime.steps import (
    Announce,
    AttachRoot,
    AttachRootOnHost,
    Attributes,
    AwaitNetwork,
    ChangeRoot,
    ContainerStep,
    EnterContainer,
    EnterWorkdir,
    Fork,
    HostStep,
    IsolateMounts,
    MakeDir,
    MakeWorkdir,
    MarkMounts,
    MaskPath,
    MountMappedOverlay,
    MountOverlay,
    MoveRoot,
    OpenProc,
    OpenRoot,
    OpenTerminal,
    PivotRoot,
    ProtectPath,
    RunHooks,
    SetAffinity,
    SetAttributes,
    WriteFile,
    WriteSysctl,
)
from swarm.errors import Invalid

__all__ = ["Extras", "Place", "Plan", "host_steps", "make_plan", "plan_exec"]


class Plan(Struct, frozen=True):
    """`host` is carried out and can be undone; then `container`, in the same process.

    That process is made with the CLONE_NEW* flags in `clone`. It becomes the program itself,
    unless there is a `Fork`. `first` is what others work on meanwhile, so it comes first.
    """

    host: tuple[HostStep, ...]
    container: tuple[ContainerStep, ...]
    clone: int = 0
    first: tuple[ContainerStep, ...] = ()


def make_plan(config: Config, place: Place, extras: Extras = NO_EXTRAS) -> Plan:
    """Plan a container and its process 1; `config.process` must be there.

    Raises `Invalid` for namespaces that do not go together.
    """
    process = config.process
    assert process is not None, "a container without a process can only be described"
    linux = config.linux or Linux()
    mapped = has_user_namespace(config)
    if mapped and namespace_path(config, "mount") is None:
        raise Invalid(
            "linux.namespaces: the root of a user namespace may not mount in the host's",
            hint='add {"type": "mount"}',
        )
    arranged = mounts.arrange(config, place, extras)
    # What is opened in another mount namespace than it is attached in cannot be renewed then.
    is_early = mapped or bool(namespace_path(config, "mount"))
    return Plan(
        host=host_steps(config, place, extras),
        container=(
            *groups.join(place.layout, place.cgroup, linux.resources or Resources()),
            *rights.prepare(config, process, place, mapped=mapped),
            OpenProc(),
            *namespaces.open_user(config),
            *(arranged.outside if is_early else ()),
            *_outside_root(config, place, extras, arranged),
            *namespaces.join(config),
            *arranged.joined,
            *_sysctls(config, joined=True),
            *namespaces.make(config, extras),
            *namespaces.furnish(config, extras),
            *(() if is_early else arranged.outside),
            *_isolate(config),
            *_inside_root(config, place, extras, arranged),
            *arranged.inside,
            *_terminal(process, console=devices.are_made(config)),
            *arranged.sealed,
            *_change_root(config, extras),
            *_finish(config, process, extras),
            *rights.give_up(config, process, place, extras, hooks=config.hooks, mapped=mapped),
        ),
        clone=namespaces.clone_flags(config),
        first=tuple(
            namespaces.make_network() if namespaces.makes_network_first(config, extras) else ()
        ),
    )


def host_steps(config: Config, place: Place, extras: Extras) -> tuple[HostStep, ...]:
    """What is made on the host; undone, it is what cleans up after the container."""
    linux = config.linux or Linux()
    uid, gid = root_of(linux.uid_mappings), root_of(linux.gid_mappings)
    steps: list[HostStep] = []
    if extras.overlay is not None:
        overlay = extras.overlay
        upper, work = overlay.upper_dir, overlay.work_dir
        parents = dict.fromkeys(path.rpartition("/")[0] for path in (upper, work))
        steps += [MakeDir(parent, 0o700, owned=False) for parent in parents]
        steps.append(MakeDir(upper, lasting=overlay.lasting, uid=uid, gid=gid))
        # One that was mounted volatile cannot be mounted again.
        steps.append(MakeDir(work, lasting=overlay.is_synced))
    if namespace_path(config, "mount") is None:
        steps.append(MarkMounts(_mark(place)))
    if not place.rootfs:
        steps.append(MakeDir(root_path(place)))
    if extras.files:
        steps.append(MakeDir(f"{place.directory}/files"))
    for number, file in enumerate(extras.files):
        steps.append(WriteFile(mounts.file_path(place, number), file.content, file.mode, uid, gid))
    steps += [MakeDir(mounts.gathering(place, up)) for up in extras.copy_ups]
    return (*steps, *groups.make(place.layout, place.cgroup, linux.resources or Resources()))


def plan_exec(
    config: Config,
    process: Process,
    place: Place,
    extras: Extras = NO_EXTRAS,
    *,
    pid: int,
    pidfd: int = -1,
    fork: bool = True,
) -> Plan:
    """Plan one more process of a running container: `process`, in the namespaces of `pid`.

    `pid` is process 1 as whoever carries the plan out counts processes; an open `pidfd` of it
    is believed instead. `fork` False is for one that is in the container's pid namespace
    already. `extras` says whom to run as by name, and the state for listeners.
    """
    linux = config.linux or Linux()
    mapped = has_user_namespace(config)
    affinity = process.exec_cpu_affinity
    steps: list[ContainerStep] = []
    if affinity is not None and affinity.initial:
        steps.append(SetAffinity(rights.cpus(affinity.initial)))
    steps += groups.join(place.layout, place.cgroup, linux.resources or Resources())
    steps += rights.prepare(config, process, place, mapped=mapped)
    steps += rights.keep_proc(config, process)
    flags = namespaces.all_flags(config)
    steps.append(EnterContainer(pid, flags, pidfd))
    if fork and flags & k.CLONE_NEWPID:
        steps.append(Fork())
    steps += _terminal(process, console=False)
    steps.append(EnterWorkdir(process.cwd))
    steps += rights.give_up(config, process, place, extras, hooks=Hooks(), mapped=mapped)
    return Plan(host=(), container=tuple(steps))


def _outside_root(
    config: Config, place: Place, extras: Extras, arranged: Arranged
) -> list[ContainerStep]:
    """A root that is taken from the host as it is, or that only the host's root can make."""
    overlay = extras.overlay
    if overlay is None:
        private = (config.linux or Linux()).rootfs_propagation in ("private", "rprivate")
        return [OpenRoot(place.rootfs, follows=not private)]
    if not has_user_namespace(config):
        return []
    return [
        MountMappedOverlay(
            overlay.lower_dirs,
            overlay.upper_dir,
            overlay.work_dir,
            root_path(place),
            volatile=not overlay.is_synced,
        ),
        *arranged.filled,
    ]


def _inside_root(
    config: Config, place: Place, extras: Extras, arranged: Arranged
) -> list[ContainerStep]:
    overlay = extras.overlay
    if overlay is not None and not has_user_namespace(config):
        root = MountOverlay(
            overlay.lower_dirs,
            overlay.upper_dir,
            overlay.work_dir,
            root_path(place),
            volatile=not overlay.is_synced,
        )
        return [root, *arranged.filled]
    if namespace_path(config, "mount") is None:
        return [AttachRootOnHost(root_path(place), _mark(place))]
    # In a mount namespace that was there before, we stand somewhere else.
    return [AttachRoot(root_path(place) if namespace_path(config, "mount") else "")]


def _isolate(config: Config) -> list[ContainerStep]:
    return [] if namespace_path(config, "mount") is None else [IsolateMounts()]


def _mark(place: Place) -> str:
    """Tells the container's mounts from all others, where it has no mount namespace."""
    return place.directory


def _terminal(process: Process, *, console: bool) -> list[ContainerStep]:
    if not process.terminal:
        return []
    size = process.console_size
    return [OpenTerminal(size.height if size else 0, size.width if size else 0, console)]


def _change_root(config: Config, extras: Extras) -> list[ContainerStep]:
    """With the hooks that want to see the host's side and the container's."""
    hooks = config.hooks
    steps: list[ContainerStep] = [Announce()]
    if hooks.create_container:
        steps.append(RunHooks("createContainer", hooks.create_container, extras.state, "creating"))
    if namespace_path(config, "mount") is None:
        return [*steps, ChangeRoot()]
    return [*steps, MoveRoot() if extras.no_pivot else PivotRoot()]


def _sysctls(config: Config, *, joined: bool) -> list[ContainerStep]:
    """Those of joined namespaces are for the host's root to set, as long as we are that."""
    sysctls = sorted((config.linux or Linux()).sysctl.items())
    mapped = has_user_namespace(config)
    return [
        WriteSysctl(name, value)
        for name, value in sysctls
        if joined is (mapped and not is_new(config, namespaces.of_sysctl(name)))
    ]


def _finish(config: Config, process: Process, extras: Extras) -> list[ContainerStep]:
    linux = config.linux or Linux()
    steps: list[ContainerStep] = [AwaitNetwork()] if extras.awaits_network else []
    steps += _sysctls(config, joined=False)
    steps += [MaskPath(path) for path in linux.masked_paths]
    steps += [ProtectPath(path) for path in linux.readonly_paths]
    steps.append(MakeWorkdir(process.cwd))
    shared = mounts.propagation_of_root(linux.rootfs_propagation)
    readonly = k.MOUNT_ATTR_RDONLY if config.root and config.root.readonly else 0
    if readonly or shared:
        steps.append(SetAttributes("/", Attributes(set=readonly), shared))
    return steps
