"""Name everything that is ever asked of the kernel, as data.

A step says what, never how: `runtime.io.host` and `runtime.io.inside` carry steps out, one
function each. Steps of the host run in the shim and may leave something behind; `undo` says
how to take it back, and taking back what was never done is harmless, so one list serves a
failed start, a deletion and the clean-up after a crash. Steps of the container run in its
process 1, in its own namespaces, and vanish with it.
"""

from collections.abc import Iterable

from msgspec import Struct

from runtime.oci.config import Hook, IdMapping, Seccomp

# --- on the host ---------------------------------------------------------------------------


class MakeDir(Struct, frozen=True):
    """Make a directory. One that is not `owned` is made with its parents, and stays if used.

    An `owned` one belongs to user `uid` and group `gid` of the host. A `lasting` one may be there
    before, and is not removed with the container.
    """

    path: str
    mode: int = 0o755
    owned: bool = True
    lasting: bool = False
    uid: int = 0
    gid: int = 0


class WriteFile(Struct, frozen=True):
    """Write a regular file with exactly this mode."""

    path: str
    content: str
    mode: int
    uid: int = 0
    gid: int = 0


class MarkMounts(Struct, frozen=True):
    """Say that mounts will be made over a tmpfs of this name. What a crash left of it goes."""

    mark: str


class MakeCgroup(Struct, frozen=True):
    """Make a control group. A `shared` one is a parent, and stays while it has children.

    Files in `inherit` are filled from the parent group's, since the kernel leaves them empty.
    """

    path: str
    shared: bool = False
    inherit: tuple[str, ...] = ()


class WriteKernelFile(Struct, frozen=True):
    """Write each value with a write(2) of its own.

    `optional`: the kernel may not have the file; `otherwise` is done if it has not.
    `tentative`: whatever the kernel says is fine, since a later step tries again.
    """

    path: str
    values: tuple[str, ...]
    optional: bool = False
    tentative: bool = False
    otherwise: "WriteKernelFile | None" = None


class CheckUsage(Struct, frozen=True):
    """Fail if the file at `path` says more than `most`."""

    path: str
    most: int


class RefuseLimit(Struct, frozen=True):
    """Fail: `limit` cannot be set on this host, and why."""

    limit: str
    reason: str


class FilterDevices(Struct, frozen=True):
    """Have a program (`runtime.cgroups.device_program`) decide in a cgroup v2 directory.

    One that decides there already is replaced in the same moment.
    """

    path: str
    program: bytes


class ReplaceDevices(Struct, frozen=True):
    """Give the devices group at `path` another default and other exceptions from it.

    What is allowed before and after is so at every moment, as long as the default stays.
    """

    path: str
    allow: bool
    exceptions: tuple[str, ...]


# --- undoing ------------------------------------------------------------------------------


class RemoveTree(Struct, frozen=True):
    """Remove a directory with everything in it."""

    path: str


class ReleaseMounts(Struct, frozen=True):
    """Unmount what is mounted over a tmpfs of the name `mark`, and that too."""

    mark: str


class RemoveEmptyDir(Struct, frozen=True):
    """Remove a directory unless it holds something."""

    path: str


class RemoveCgroup(Struct, frozen=True):
    """Remove a control group. A `shared` one only if nobody uses it."""

    path: str
    shared: bool


# --- in the container, with the host in sight --------------------------------------------------


class JoinCgroup(Struct, frozen=True):
    """Move this process into a control group."""

    path: str


class SetOomScore(Struct, frozen=True):
    """How gladly the kernel kills this process when the host runs out of memory."""

    score: int


class GiveStreams(Struct, frozen=True):
    """Have the standard streams belong to this user of the host, so that they can be opened."""

    uid: int


class SetAffinity(Struct, frozen=True):
    """Run on these CPUs only; `final` is in force no sooner than the program is."""

    cpus: tuple[int, ...]
    final: bool = False


class PrepareSeccomp(Struct, frozen=True):
    """Have a filter ready as the kernel wants it. Compiled ones are kept in `cache`, if any."""

    filter: Seccomp
    cache: str


class OpenProc(Struct, frozen=True):
    """Keep hold of the host's procfs: whatever the container has at /proc is not asked."""


class MakeUserNamespace(Struct, frozen=True):
    """Make a user namespace with these ids, and keep it open; nobody enters it yet."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]


class OpenUserNamespace(Struct, frozen=True):
    """Keep the user namespace that is bound to a path open."""

    path: str


class Attributes(Struct, frozen=True, kw_only=True):
    """Changes to mounts, as MOUNT_ATTR_*: for the one at the top, and for all below it too."""

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0


class Translate(Struct, frozen=True, kw_only=True):
    """Which ids the files of a mount are shown with; without ids, the container's own."""

    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()
    recursive: bool = False


class OpenBind(Struct, frozen=True, kw_only=True):
    """Take a detached copy of the mount at `source`, to be attached as number `number`.

    It happens before our mounts are isolated, so that `rshared` is shared with the host.
    Unless `shared`, nothing that is mounted in it later reaches the host. `propagation` are
    flags of mount(2), each with MS_REC or not. A `device` has to be one. With `below` that
    path is meant, in `source`: whatever links are on the way, it ends in there. With `owner`
    the source is a path in that mount namespace.
    """

    number: int
    source: str
    below: str = ""
    owner: str = ""
    recursive: bool = True
    attributes: Attributes = Attributes()
    propagation: tuple[int, ...] = ()
    translate: Translate | None = None
    device: bool = False


class Filesystem(Struct, frozen=True, kw_only=True):
    """A new file system: `data` are its own options, `flags` MS_*, `attributes` the mount's."""

    kind: str
    source: str = ""
    flags: int = 0
    attributes: int = 0
    data: tuple[str, ...] = ()


class OpenFilesystem(Struct, frozen=True):
    """Make a file system that only the host's root may make, to be attached as `number`."""

    number: int
    filesystem: Filesystem


class EnterNamespaces(Struct, frozen=True):
    """Join namespaces that are bound to paths, given with their CLONE_NEW* flags."""

    paths: tuple[tuple[int, str], ...]


class EnterContainer(Struct, frozen=True):
    """Join the namespaces (CLONE_NEW* flags) of a container's process 1.

    `pidfd` is an open descriptor of it, or -1: then `pid` is its number where we are.
    """

    pid: int
    flags: int
    pidfd: int = -1


class EnterUserNamespace(Struct, frozen=True):
    """Enter the user namespace that is open, and be its root."""


class Unshare(Struct, frozen=True):
    """Leave the host's namespaces (CLONE_NEW* flags)."""

    flags: int


class SetTimeOffsets(Struct, frozen=True):
    """Shift the clocks of a time namespace nobody is in yet: number, seconds, nanoseconds."""

    offsets: tuple[tuple[int, int, int], ...]


class Fork(Struct, frozen=True):
    """Have a child go on, and end: only a child is in a new pid or time namespace."""


class BecomeRoot(Struct, frozen=True):
    """Be user 0 of the user namespace, as far as it has one."""


class IsolateMounts(Struct, frozen=True):
    """Have no mount of ours reach the host any more."""


class MountOverlay(Struct, frozen=True):
    """Mount the layers at `target`, which becomes the root. `volatile`: never written back."""

    lower_dirs: tuple[str, ...]
    upper_dir: str
    work_dir: str
    target: str
    volatile: bool = True


class MountMappedOverlay(Struct, frozen=True):
    """Make the layers, with the container's ids on the lower ones, a root to be attached.

    It is mounted at `target` in a mount namespace that is left again.
    """

    lower_dirs: tuple[str, ...]
    upper_dir: str
    work_dir: str
    target: str
    volatile: bool = True


class OpenRoot(Struct, frozen=True):
    """Take a detached copy of the root file system, and stand where it will be attached.

    Later mounts of the host appear in it if `follows`.
    """

    path: str
    follows: bool = True


class AttachRoot(Struct, frozen=True):
    """Attach the open root over `path`, or where we stand if that is empty."""

    path: str = ""


class AttachRootOnHost(Struct, frozen=True):
    """Attach the open root over `path` where the host sees it, over a tmpfs of the name `mark`."""

    path: str
    mark: str


class CopyUp(Struct, frozen=True):
    """Fill `source`, if empty, with what the image at `rootfs` holds at `origin`.

    The copy grows in `gathering`, beside `source`, and replaces it by one rename: a crash
    never leaves a volume half filled. Links in the image are followed within the image. With
    `uids` and `gids` what is copied belongs to the container's ids, not to the host's.
    """

    rootfs: str
    origin: str
    source: str
    gathering: str
    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()


# --- in the container's namespaces ---------------------------------------------------------


class LoopbackUp(Struct, frozen=True):
    """Bring up `lo`."""


class OfferNetwork(Struct, frozen=True):
    """Pass our network namespace to whoever connects it, who can do so while we go on."""


class AwaitNetwork(Struct, frozen=True):
    """Wait until our network is connected; fail if nobody is going to do it any more."""


class SetHostname(Struct, frozen=True):
    """Set the name of the container's own UTS namespace."""

    hostname: str


class SetDomainname(Struct, frozen=True):
    """Set the NIS domain name of the container's own UTS namespace."""

    domainname: str


class MountFilesystem(Struct, frozen=True, kw_only=True):
    """Mount a new file system; the directory is made if the image lacks it.

    `strict`: refuse a symbolic link at `target`, or we would write the image's own files
    believing them the kernel's. `copy_up`: begin with what the image holds there.
    """

    target: str
    filesystem: Filesystem
    strict: bool = False
    copy_up: bool = False
    propagation: tuple[int, ...] = ()


class AttachBind(Struct, frozen=True):
    """Attach what was opened; a missing target is made, as file or directory.

    `propagation` is what it has only from now on: nothing unbindable could be attached.
    """

    number: int
    target: str
    strict: bool = False
    propagation: tuple[int, ...] = ()


class SetAttributes(Struct, frozen=True):
    """Change the mount at `target`; `propagation` is of mount(2), 0 leaves it as it is."""

    target: str
    attributes: Attributes
    propagation: int = 0


class MakeNode(Struct, frozen=True, kw_only=True):
    """Make a device (`kind` b, c or p), unless there is something already."""

    path: str
    kind: str = "c"
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


class Link(Struct, frozen=True):
    """Make a symbolic link, unless there is something already."""

    path: str
    target: str


class OpenTerminal(Struct, frozen=True):
    """Make a terminal in the container's own devpts, the caller gets its master.

    With `console` it is also what /dev/console is.
    """

    rows: int
    columns: int
    console: bool


class Announce(Struct, frozen=True):
    """Let the caller run its hooks: the namespaces and mounts are there, the host is too."""


class RunHooks(Struct, frozen=True):
    """Run `hooks` with `state` (JSON, without `pid` and `status`) on their standard input."""

    kind: str
    hooks: tuple[Hook, ...]
    state: str
    status: str


class PivotRoot(Struct, frozen=True):
    """Make the container's root ours and let go of the host's."""


class MoveRoot(Struct, frozen=True):
    """The same where the host's root is one that cannot be pivoted: it stays out of reach."""


class ChangeRoot(Struct, frozen=True):
    """Make the container's root ours, in mounts that are the host's as well."""


class WriteSysctl(Struct, frozen=True):
    """Set a kernel parameter of the container's namespaces."""

    name: str
    value: str


class ProtectPath(Struct, frozen=True):
    """Make what is at `path` read-only, if there is anything."""

    path: str


class MaskPath(Struct, frozen=True):
    """Hide what is at `path`, if there is anything: a file is empty, a directory bare."""

    path: str


class MakeWorkdir(Struct, frozen=True):
    """Make the working directory if the image lacks it, and enter it."""

    path: str


class EnterWorkdir(Struct, frozen=True):
    """Enter the working directory, which has to be there and inside of the root."""

    path: str


# --- rights -----------------------------------------------------------------------------------


class RaiseRlimit(Struct, frozen=True):
    """Raise a hard limit (see `SetRlimit`) while we may; what is below it stays as it is."""

    name: str
    number: int
    hard: int


class SetRlimit(Struct, frozen=True):
    """Limit this process and its children. Limits are signed 64 bits; -1 is unlimited."""

    name: str
    number: int
    soft: int
    hard: int


class SetScheduler(Struct, frozen=True, kw_only=True):
    """Be scheduled as sched_setattr(2) says; times in nanoseconds."""

    policy: int
    flags: int
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int


class SetIoPriority(Struct, frozen=True):
    """Have this place in the queues of block devices."""

    io_class: int
    priority: int


class SetPersonality(Struct, frozen=True):
    """Look to programs like this kind of Linux."""

    persona: int


class JoinKeyring(Struct, frozen=True):
    """Have a session keyring of our own, so that the host's keys are out of reach."""


class DropBounding(Struct, frozen=True):
    """Give up capabilities for good, by their numbers, ambient ones too."""

    numbers: tuple[int, ...]


class FindUser(Struct, frozen=True):
    """Look up in the image's own files whom `user` means; `SetIdentity` becomes that."""

    user: str
    additional_groups: tuple[str, ...]


class SetIdentity(Struct, frozen=True):
    """Become this user, or with `uid` -1 the one that was looked up."""

    uid: int = -1
    gid: int = 0
    groups: tuple[int, ...] = ()


class SetCapabilities(Struct, frozen=True):
    """Keep only these capabilities, as bit masks."""

    effective: int
    permitted: int
    inheritable: int
    ambient: int


class NoNewPrivileges(Struct, frozen=True):
    """Have no program gain rights by being set-uid."""


class SetUmask(Struct, frozen=True):
    """Set the file mode creation mask."""

    mask: int


class SetLabel(Struct, frozen=True):
    """Have the program run under a label of `module`, apparmor or selinux."""

    module: str
    label: str


class LoadSeccomp(Struct, frozen=True):
    """Filter system calls from here on: as prepared, or by a compiled `program`.

    `state` (JSON, without `pid` and `status`) goes to whoever listens for notifications.
    """

    flags: int = 0
    listener_metadata: str = ""
    state: str = "{}"
    program: bytes = b""


class WaitAtGate(Struct, frozen=True):
    """See that the program is there, and wait until someone opens the gate, if there is one."""

    args: tuple[str, ...]
    env: tuple[str, ...]


class Execute(Struct, frozen=True):
    """Become the program; with `init`, stay as process 1 and have a child become it."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    init: bool


HostStep = (
    MakeDir | WriteFile | MarkMounts | MakeCgroup | WriteKernelFile | CheckUsage | RefuseLimit
    | FilterDevices | ReplaceDevices
)  # fmt: skip
Undo = RemoveTree | RemoveEmptyDir | RemoveCgroup | ReleaseMounts
ContainerStep = (
    JoinCgroup | SetOomScore | GiveStreams | SetAffinity | PrepareSeccomp | OpenProc
    | MakeUserNamespace | OpenUserNamespace | OpenBind | OpenFilesystem | EnterNamespaces
    | EnterContainer | EnterUserNamespace | Unshare | SetTimeOffsets | Fork | BecomeRoot
    | IsolateMounts | MountOverlay | MountMappedOverlay | OpenRoot | AttachRoot | AttachRootOnHost
    | CopyUp | LoopbackUp | OfferNetwork | AwaitNetwork | SetHostname | SetDomainname
    | MountFilesystem | AttachBind
    | SetAttributes | MakeNode | Link | OpenTerminal | Announce | RunHooks | PivotRoot | MoveRoot
    | ChangeRoot | WriteSysctl | ProtectPath | MaskPath | MakeWorkdir | EnterWorkdir | RaiseRlimit
    | SetRlimit | SetScheduler | SetIoPriority | SetPersonality | JoinKeyring | DropBounding
    | FindUser | SetIdentity | SetCapabilities | NoNewPrivileges | SetUmask | SetLabel
    | LoadSeccomp | WaitAtGate | Execute
)  # fmt: skip


def own(steps: Iterable[HostStep]) -> tuple[HostStep, ...]:
    """Without the shared parents: another container may be about to be made in them."""
    return tuple(step for step in steps if not (isinstance(step, MakeCgroup) and step.shared))


def undo(steps: Iterable[HostStep]) -> tuple[Undo, ...]:
    """What takes `steps` back, the last one first."""
    found: list[Undo] = []
    for step in steps:
        match step:
            case MakeDir(lasting=True):
                pass
            case MakeDir(path=path, owned=True):
                found.append(RemoveTree(path))
            case MakeDir(path=path):
                found.append(RemoveEmptyDir(path))
            case MarkMounts(mark=mark):
                found.append(ReleaseMounts(mark))
            case MakeCgroup(path=path, shared=shared):
                found.append(RemoveCgroup(path, shared))
            case WriteFile() | WriteKernelFile() | FilterDevices() | ReplaceDevices():
                pass  # goes with the directory that it lies in
            case CheckUsage() | RefuseLimit():
                pass
    return tuple(reversed(found))


def name(step: HostStep | ContainerStep) -> str:
    """The step as words, for errors and logs: `mount overlay`."""
    kind = type(step).__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()


def subject(step: HostStep | ContainerStep) -> str:
    """What the step is about, for errors: a path or a name."""
    match step:
        case OpenBind(source=text) | CopyUp(source=text):
            return text
        case MountFilesystem(target=text) | AttachBind(target=text) | SetAttributes(target=text):
            return text
        case MountOverlay(target=text) | MountMappedOverlay(target=text):
            return text
        case OpenFilesystem(filesystem=filesystem):
            return filesystem.kind
        case EnterNamespaces(paths=paths):
            return " ".join(path for _, path in paths)
        case WriteSysctl(name=text) | SetRlimit(name=text) | RaiseRlimit(name=text):
            return text
        case RefuseLimit(limit=text):
            return text
        case SetHostname(hostname=text) | SetDomainname(domainname=text) | FindUser(user=text):
            return text
        case SetIdentity(uid=uid, gid=gid):
            return f"{uid}:{gid}" if uid >= 0 else ""
        case SetLabel(module=module, label=label):
            return f"{module} {label}"
        case RunHooks(kind=text):
            return text
        case Execute(args=args) | WaitAtGate(args=args):
            return args[0] if args else ""
        case _:
            return getattr(step, "path", "")
