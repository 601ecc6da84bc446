"""Name everything that is ever asked of the kernel, as data.

A step says what, never how: `runtime.io.host` and `runtime.io.inside` carry steps out, one
function each. Steps of the host run in the shim and may leave something behind; `undo` says
how to take it back, and taking back what was never done is harmless, so one list serves a
failed start, a deletion and the clean-up after a crash. Steps of the container run in its
process 1, in its own namespaces, and vanish with it.
"""

from collections.abc import Iterable

from msgspec import Struct

# --- on the host ---------------------------------------------------------------------------


class MakeDir(Struct, frozen=True):
    """Make a directory. One that is not `owned` is made with its parents, and stays if used."""

    path: str
    mode: int = 0o755
    owned: bool = True


class WriteFile(Struct, frozen=True):
    """Write a regular file with exactly this mode."""

    path: str
    content: str
    mode: int


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


class RemoveEmptyDir(Struct, frozen=True):
    """Remove a directory unless it holds something."""

    path: str


class RemoveCgroup(Struct, frozen=True):
    """Remove a control group. A `shared` one only if nobody uses it."""

    path: str
    shared: bool


# --- in the container ----------------------------------------------------------------------


class JoinCgroup(Struct, frozen=True):
    """Move this process into a control group."""

    path: str


class OpenBind(Struct, frozen=True):
    """Take a detached copy of the mount at `source`, to be attached as number `number`.

    It happens before the container has namespaces, so that `rshared` is shared with the host.
    """

    number: int
    source: str
    flags: int
    propagation: int


class EnterNetwork(Struct, frozen=True):
    """Join the network namespace that is bound to a path."""

    path: str


class Unshare(Struct, frozen=True):
    """Leave the host's namespaces (CLONE_NEW* flags)."""

    flags: int


class IsolateMounts(Struct, frozen=True):
    """Have no mount of ours reach the host any more."""


class MountOverlay(Struct, frozen=True):
    """Mount the layers at `target`."""

    lower_dirs: tuple[str, ...]
    upper_dir: str
    work_dir: str
    target: str


class CopyUp(Struct, frozen=True):
    """Fill `source`, if empty, with what the image at `rootfs` holds at `origin`.

    The copy grows in `gathering`, beside `source`, and replaces it by one rename: a crash
    never leaves a volume half filled. Links in the image are followed within the image.
    """

    rootfs: str
    origin: str
    source: str
    gathering: str


class PivotRoot(Struct, frozen=True):
    """Make `path` the root and let go of the host's."""

    path: str


class MountFilesystem(Struct, frozen=True):
    """Mount a new file system; the directory is made if the image lacks it.

    `strict`: refuse a symbolic link at `target`, or we would write the image's own files
    believing them the kernel's.
    """

    kind: str
    target: str
    flags: int
    options: str = ""
    strict: bool = False


class AttachBind(Struct, frozen=True):
    """Attach what `OpenBind` opened; a missing target is made, as file or directory."""

    number: int
    target: str


class MakeNode(Struct, frozen=True):
    """Make a character device for everyone."""

    path: str
    major: int
    minor: int


class Link(Struct, frozen=True):
    """Make a symbolic link."""

    path: str
    target: str


class RemountReadOnly(Struct, frozen=True):
    """Make the mount at `path` read-only, keeping `flags`."""

    path: str
    flags: int = 0


class ProtectPath(Struct, frozen=True):
    """Make what is at `path` read-only, if there is anything."""

    path: str


class MaskPath(Struct, frozen=True):
    """Hide what is at `path`, if there is anything: a file is empty, a directory bare."""

    path: str


class SetHostname(Struct, frozen=True):
    """Set the name of the container's own UTS namespace."""

    hostname: str


class LoopbackUp(Struct, frozen=True):
    """Bring up `lo`."""


class WriteSysctl(Struct, frozen=True):
    """Set a kernel parameter of the container's namespaces."""

    name: str
    value: str


class SetOomScore(Struct, frozen=True):
    """How gladly the kernel kills this process when the host runs out of memory."""

    score: int


class SetRlimit(Struct, frozen=True):
    """Limit this process and its children."""

    name: str
    number: int
    soft: int
    hard: int


class JoinKeyring(Struct, frozen=True):
    """Have a session keyring of our own, so that the host's keys are out of reach."""


class MakeWorkdir(Struct, frozen=True):
    """Make the working directory if the image lacks it, and enter it."""

    path: str


class DropBounding(Struct, frozen=True):
    """Give up capabilities for good, by their numbers, ambient ones too."""

    numbers: tuple[int, ...]


class SetIdentity(Struct, frozen=True):
    """Become the user that the image's own files resolve `user` to."""

    user: str
    additional_groups: tuple[str, ...]


class SetCapabilities(Struct, frozen=True):
    """Keep only these capabilities, as a bit mask; none of them inheritable."""

    mask: int


class NoNewPrivileges(Struct, frozen=True):
    """Have no program gain rights by being set-uid."""


class SetUmask(Struct, frozen=True):
    """Set the file mode creation mask."""

    mask: int


class Execute(Struct, frozen=True):
    """Become the program; with `init`, stay as process 1 and have a child become it."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    init: bool


HostStep = (
    MakeDir | WriteFile | MakeCgroup | WriteKernelFile | CheckUsage | RefuseLimit | FilterDevices
    | ReplaceDevices
)  # fmt: skip
Undo = RemoveTree | RemoveEmptyDir | RemoveCgroup
ContainerStep = (
    JoinCgroup | OpenBind | EnterNetwork | Unshare | IsolateMounts | MountOverlay | CopyUp
    | PivotRoot | MountFilesystem | AttachBind | MakeNode | Link | RemountReadOnly | ProtectPath
    | MaskPath | SetHostname | LoopbackUp | WriteSysctl | SetOomScore | SetRlimit | JoinKeyring
    | MakeWorkdir | DropBounding | SetIdentity | SetCapabilities | NoNewPrivileges | SetUmask
    | Execute
)  # fmt: skip


def own(steps: Iterable[HostStep]) -> tuple[HostStep, ...]:
    """Without the shared parents: another container may be about to be made in them."""
    return tuple(step for step in steps if not (isinstance(step, MakeCgroup) and step.shared))


def undo(steps: Iterable[HostStep]) -> tuple[Undo, ...]:
    """What takes `steps` back, the last one first."""
    found: list[Undo] = []
    for step in steps:
        match step:
            case MakeDir(path=path, owned=True):
                found.append(RemoveTree(path))
            case MakeDir(path=path):
                found.append(RemoveEmptyDir(path))
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
        case MountFilesystem(target=text) | AttachBind(target=text) | MountOverlay(target=text):
            return text
        case WriteSysctl(name=text) | SetRlimit(name=text) | SetHostname(hostname=text):
            return text
        case SetIdentity(user=text):
            return text
        case RefuseLimit(limit=text):
            return text
        case Execute(args=args):
            return args[0]
        case _:
            return getattr(step, "path", "")
