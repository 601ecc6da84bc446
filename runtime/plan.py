"""Turn a container spec into the ordered list of kernel steps that make it.

The order carries the security: binds are opened while the host is still in sight and only
attached after it is gone, so no link in an image can lead a mount target out of it; kernel
parameters are set before /proc/sys turns read-only; the last rights fall just before exec.
"""

from typing import Final

from msgspec import Struct

from runtime import constants as k
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.defaults import CAPABILITY_NAMES, DEVICES, NETWORK_SYSCTLS, RLIMIT_NAMES
from runtime.spec import ContainerSpec, File, Mount, MountKind, Propagation
from runtime.steps import (
    AttachBind,
    ContainerStep,
    CopyUp,
    DropBounding,
    EnterNetwork,
    Execute,
    HostStep,
    IsolateMounts,
    JoinKeyring,
    Link,
    LoopbackUp,
    MakeDir,
    MakeNode,
    MakeWorkdir,
    MaskPath,
    MountFilesystem,
    MountOverlay,
    NoNewPrivileges,
    OpenBind,
    PivotRoot,
    ProtectPath,
    RemountReadOnly,
    SetCapabilities,
    SetHostname,
    SetIdentity,
    SetOomScore,
    SetRlimit,
    SetUmask,
    Unshare,
    WriteFile,
    WriteSysctl,
)
from runtime.translation import group_path, to_resources

_NO_EXEC: Final = k.MS_NOSUID | k.MS_NOEXEC | k.MS_NODEV

_PROPAGATION: Final = {
    Propagation.RPRIVATE: k.MS_PRIVATE | k.MS_REC,
    Propagation.PRIVATE: k.MS_PRIVATE,
    Propagation.RSLAVE: k.MS_SLAVE | k.MS_REC,
    Propagation.SLAVE: k.MS_SLAVE,
    Propagation.RSHARED: k.MS_SHARED | k.MS_REC,
    Propagation.SHARED: k.MS_SHARED,
}


class Plan(Struct, frozen=True):
    """`host` runs in the shim, then `container` in what becomes process 1."""

    host: tuple[HostStep, ...]
    container: tuple[ContainerStep, ...]


class _Bind(Struct, frozen=True):
    """Something of the host that appears in the container, numbered for its two steps."""

    number: int
    source: str
    target: str
    flags: int
    propagation: int
    gathering: str = ""


def make_plan(spec: ContainerSpec, *, layout: Layout, directory: str, last_capability: int) -> Plan:
    """Plan `spec`. `directory` is the container's own below the run root.

    `last_capability` is the highest number the kernel knows: each one above the bounding set
    has to be dropped by its number.
    """
    binds = _binds(spec, directory)
    cgroups = groups.join(layout, group_path(spec), to_resources(spec.resources))
    return Plan(
        host=host_steps(spec, layout=layout, directory=directory),
        container=(
            *cgroups,
            *_process_limits(spec),
            *(_open(bind) for bind in binds if not bind.gathering),
            *_namespaces(spec),
            *_root(spec, directory, binds),
            *_filesystems(),
            *_cgroup_filesystems(layout, spec),
            *_mounts(spec, binds),
            *_finish(spec),
            *_rights(spec, last_capability),
            Execute(spec.args, spec.env, spec.init),
        ),
    )


def host_steps(spec: ContainerSpec, *, layout: Layout, directory: str) -> tuple[HostStep, ...]:
    """What is made on the host; undone, it is what cleans up after the container."""
    upper, work = spec.rootfs.upper_dir, spec.rootfs.work_dir
    parents = dict.fromkeys(path.rpartition("/")[0] for path in (upper, work))
    steps: list[HostStep] = [MakeDir(parent, 0o700, owned=False) for parent in parents]
    steps += [MakeDir(upper), MakeDir(work), MakeDir(_rootfs(directory))]
    if spec.files:
        steps.append(MakeDir(f"{directory}/files"))
    for number, file in enumerate(spec.files):
        steps.append(WriteFile(_file(directory, number), file.content, file.mode))
    binds = _binds(spec, directory)
    steps += [MakeDir(bind.gathering) for bind in binds if bind.gathering]
    cgroups = groups.make(layout, group_path(spec), to_resources(spec.resources))
    return (*steps, *cgroups)


def _rootfs(directory: str) -> str:
    return f"{directory}/rootfs"


def _file(directory: str, number: int) -> str:
    return f"{directory}/files/{number}"


def _binds(spec: ContainerSpec, directory: str) -> tuple[_Bind, ...]:
    """Mounts and then files, but a file over which a mount was asked for yields to it."""
    found = [
        _bind_of_mount(number, mount, spec.id)
        for number, mount in enumerate(spec.mounts)
        if mount.kind is MountKind.BIND
    ]
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    found += [
        _bind_of_file(len(spec.mounts) + number, file, _file(directory, number))
        for number, file in enumerate(spec.files)
        if file.path not in taken
    ]
    return tuple(found)


def _bind_of_mount(number: int, mount: Mount, container_id: str) -> _Bind:
    source = mount.source.rstrip("/") or "/"
    return _Bind(
        number,
        source,
        mount.target,
        k.MOUNT_ATTR_RDONLY if mount.read_only else 0,
        _PROPAGATION[mount.propagation],
        f"{source}.filling-{container_id}" if mount.copy_up else "",
    )


def _bind_of_file(number: int, file: File, source: str) -> _Bind:
    return _Bind(number, source, file.path, 0, _PROPAGATION[Propagation.RPRIVATE])


def _open(bind: _Bind) -> OpenBind:
    return OpenBind(bind.number, bind.source, bind.flags, bind.propagation)


def _process_limits(spec: ContainerSpec) -> list[ContainerStep]:
    """What /proc of the host or rights that fall later are needed for."""
    steps: list[ContainerStep] = [SetOomScore(spec.oom_score_adj)]
    for limit in spec.rlimits:
        steps.append(SetRlimit(limit.name, RLIMIT_NAMES[limit.name], limit.soft, limit.hard))
    return steps


def _namespaces(spec: ContainerSpec) -> list[ContainerStep]:
    """The pid namespace is not here: only a child can be in a new one, so the shim makes it."""
    flags = k.CLONE_NEWNS | k.CLONE_NEWUTS | k.CLONE_NEWIPC | k.CLONE_NEWCGROUP
    steps: list[ContainerStep] = []
    if spec.network_namespace:
        steps.append(EnterNetwork(spec.network_namespace))
    elif not spec.host_network:
        flags |= k.CLONE_NEWNET
    steps.append(Unshare(flags))
    if flags & k.CLONE_NEWNET:
        steps.append(LoopbackUp())
    if spec.hostname:
        steps.append(SetHostname(spec.hostname))
    return steps


def _root(spec: ContainerSpec, directory: str, binds: tuple[_Bind, ...]) -> list[ContainerStep]:
    rootfs, root = spec.rootfs, _rootfs(directory)
    steps: list[ContainerStep] = [
        IsolateMounts(),
        MountOverlay(rootfs.lower_dirs, rootfs.upper_dir, rootfs.work_dir, root),
    ]
    for bind in binds:
        if bind.gathering:
            steps.append(CopyUp(root, bind.target, bind.source, bind.gathering))
            steps.append(_open(bind))
    steps.append(PivotRoot(root))
    return steps


def _filesystems() -> list[ContainerStep]:
    steps: list[ContainerStep] = [
        MountFilesystem("proc", "/proc", _NO_EXEC, strict=True),
        MountFilesystem(
            "tmpfs", "/dev", k.MS_NOSUID | k.MS_STRICTATIME, "mode=755,size=65536k", strict=True
        ),
        MountFilesystem(
            "devpts",
            "/dev/pts",
            k.MS_NOSUID | k.MS_NOEXEC,
            "newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        MountFilesystem("tmpfs", "/dev/shm", _NO_EXEC, "mode=1777,size=65536k"),
        MountFilesystem("mqueue", "/dev/mqueue", _NO_EXEC),
        MountFilesystem("sysfs", "/sys", _NO_EXEC | k.MS_RDONLY, strict=True),
    ]
    steps += [MakeNode(f"/dev/{name}", major, minor) for name, major, minor in DEVICES]
    steps += [
        Link("/dev/fd", "/proc/self/fd"),
        Link("/dev/stdin", "/proc/self/fd/0"),
        Link("/dev/stdout", "/proc/self/fd/1"),
        Link("/dev/stderr", "/proc/self/fd/2"),
        Link("/dev/ptmx", "pts/ptmx"),
        Link("/dev/core", "/proc/kcore"),
    ]
    return steps


def _cgroup_filesystems(layout: Layout, spec: ContainerSpec) -> list[ContainerStep]:
    """Read-only. A hierarchy without a group of ours would show the host's whole tree."""
    flags = _NO_EXEC | k.MS_RDONLY
    if not layout.v1:
        return [MountFilesystem("cgroup2", "/sys/fs/cgroup", flags)]
    steps: list[ContainerStep] = [
        MountFilesystem("tmpfs", "/sys/fs/cgroup", _NO_EXEC, "mode=755,size=64k")
    ]
    for root in groups.hierarchies(layout, to_resources(spec.resources)):
        tree = layout.hierarchy(root)
        steps.append(MountFilesystem(tree.type, f"/sys/fs/cgroup/{tree.name}", flags, tree.options))
    steps.append(RemountReadOnly("/sys/fs/cgroup", _NO_EXEC))
    return steps


def _mounts(spec: ContainerSpec, binds: tuple[_Bind, ...]) -> list[ContainerStep]:
    """What is mounted over /a comes before what is mounted over /a/b."""
    steps: list[tuple[str, ContainerStep]] = [
        (bind.target, AttachBind(bind.number, bind.target)) for bind in binds
    ]
    steps += [(m.target, _tmpfs(m)) for m in spec.mounts if m.kind is MountKind.TMPFS]
    return [step for _, step in sorted(steps, key=lambda pair: pair[0].rstrip("/").split("/"))]


def _tmpfs(mount: Mount) -> MountFilesystem:
    options = f"mode={mount.mode:o}" + (f",size={mount.size_bytes}" if mount.size_bytes else "")
    flags = _NO_EXEC | (k.MS_RDONLY if mount.read_only else 0)
    return MountFilesystem("tmpfs", mount.target, flags, options)


def _finish(spec: ContainerSpec) -> list[ContainerStep]:
    sysctls = ({} if spec.host_network else NETWORK_SYSCTLS) | spec.sysctls
    steps: list[ContainerStep] = [
        WriteSysctl(name, value) for name, value in sorted(sysctls.items())
    ]
    steps += [MaskPath(path) for path in spec.masked_paths]
    steps += [ProtectPath(path) for path in spec.readonly_paths]
    steps.append(MakeWorkdir(spec.workdir))
    if spec.read_only_rootfs:
        steps.append(RemountReadOnly("/"))
    return steps


def _rights(spec: ContainerSpec, last_capability: int) -> list[ContainerStep]:
    kept = {CAPABILITY_NAMES.index(name) for name in spec.capabilities}
    steps: list[ContainerStep] = [
        JoinKeyring(),
        DropBounding(tuple(n for n in range(last_capability + 1) if n not in kept)),
        SetUmask(spec.umask),
        SetIdentity(spec.user, spec.additional_groups),
        SetCapabilities(sum(1 << number for number in kept if number <= last_capability)),
    ]
    if spec.no_new_privs:
        steps.append(NoNewPrivileges())
    return steps
