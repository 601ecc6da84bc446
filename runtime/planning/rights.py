"""Plan what a process may do, and when it gives up the rest.

Whatever needs rights comes before they fall: limits, scheduling, the user. A seccomp filter is
loaded as late as possible, since all that follows has to pass it. Without no_new_privs loading
takes CAP_SYS_ADMIN, so then the capabilities fall after it.
"""

from msgspec import Struct

from runtime.oci.config import Capabilities, Config, Hooks, Linux, Process, Rlimit
from runtime.oci.names import (
    CAPABILITIES,
    IO_CLASSES,
    PERSONALITIES,
    RLIMITS,
    SCHEDULER_FLAGS,
    SCHEDULERS,
)
from runtime.planning.place import Extras, Place, root_of
from runtime.seccomp.flags import filter_flags
from runtime.steps import (
    ContainerStep,
    DropBounding,
    Execute,
    FindUser,
    GiveStreams,
    JoinKeyring,
    LoadSeccomp,
    NoNewPrivileges,
    OpenProc,
    PrepareSeccomp,
    RaiseRlimit,
    RunHooks,
    SetAffinity,
    SetCapabilities,
    SetIdentity,
    SetIoPriority,
    SetLabel,
    SetOomScore,
    SetPersonality,
    SetRlimit,
    SetScheduler,
    SetUmask,
    WaitAtGate,
)

_LIMITS = 1 << 64
_UMASK = 0o022


class _Sets(Struct, frozen=True):
    """The five capability sets as bit masks."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int


def prepare(config: Config, process: Process, place: Place, *, mapped: bool) -> list[ContainerStep]:
    """What the host has to be in sight for, or its root's rights needed."""
    steps: list[ContainerStep] = []
    if process.oom_score_adj is not None:
        steps.append(SetOomScore(process.oom_score_adj))
    filter_ = (config.linux or Linux()).seccomp
    if filter_ is not None:
        steps.append(PrepareSeccomp(filter_, place.seccomp_cache))
    if mapped:
        # Its root has no rights over what belongs to ids that it has not got.
        steps.append(GiveStreams(root_of((config.linux or Linux()).uid_mappings)))
        for limit in process.rlimits:
            name, number = _named(limit)
            steps.append(RaiseRlimit(name, number, _limit(limit.hard)))
        steps += _scheduling(process)
    return steps


def keep_proc(config: Config, process: Process) -> list[ContainerStep]:
    """Where labels are written, and where our number on the host is told."""
    filter_ = (config.linux or Linux()).seccomp
    listens = filter_ is not None and filter_.listener_path
    return [OpenProc()] if process.apparmor_profile or process.selinux_label or listens else []


def give_up(
    config: Config, process: Process, place: Place, extras: Extras, *, hooks: Hooks, mapped: bool
) -> list[ContainerStep]:
    """From all rights to those of the program, and to the program itself."""
    sets = _sets(process.capabilities or Capabilities(), place.last_capability)
    linux = config.linux or Linux()
    return [
        *_character(linux),
        *([] if mapped else _scheduling(process)),
        *_limits(process),
        *([] if extras.no_new_keyring else [JoinKeyring()]),
        DropBounding(
            tuple(n for n in range(place.last_capability + 1) if not sets.bounding >> n & 1)
        ),
        SetUmask(_UMASK if process.user.umask is None else process.user.umask),
        *_identity(process, extras),
        *_last(linux, process, extras, sets, hooks),
    ]


def _character(linux: Linux) -> list[ContainerStep]:
    if linux.personality is None:
        return []
    return [SetPersonality(PERSONALITIES[linux.personality.domain])]


def _scheduling(process: Process) -> list[ContainerStep]:
    steps: list[ContainerStep] = []
    wanted, io_priority = process.scheduler, process.io_priority
    if wanted is not None:
        steps.append(
            SetScheduler(
                policy=SCHEDULERS[wanted.policy],
                flags=sum(SCHEDULER_FLAGS[flag] for flag in set(wanted.flags)),
                nice=wanted.nice,
                priority=wanted.priority,
                runtime=wanted.runtime,
                deadline=wanted.deadline,
                period=wanted.period,
            )
        )
    if io_priority is not None:
        steps.append(SetIoPriority(IO_CLASSES[io_priority.io_class], io_priority.priority))
    return steps


def _limits(process: Process) -> list[ContainerStep]:
    return [
        SetRlimit(*_named(limit), _limit(limit.soft), _limit(limit.hard))
        for limit in process.rlimits
    ]


def _named(limit: Rlimit) -> tuple[str, int]:
    return limit.type.removeprefix("RLIMIT_").lower(), RLIMITS[limit.type]


def _limit(value: int) -> int:
    """The kernel counts without a sign, Python with one; -1 is the last of them, unlimited."""
    return value - _LIMITS if value >= _LIMITS // 2 else value


def _identity(process: Process, extras: Extras) -> list[ContainerStep]:
    if extras.user is not None:
        return [FindUser(extras.user, extras.additional_groups), SetIdentity()]
    user = process.user
    return [SetIdentity(user.uid, user.gid, user.additional_gids)]


def _last(
    linux: Linux, process: Process, extras: Extras, sets: _Sets, hooks: Hooks
) -> list[ContainerStep]:
    """What is left once the user is who it will be."""
    capabilities = SetCapabilities(sets.effective, sets.permitted, sets.inheritable, sets.ambient)
    load = _load_filter(linux, extras)
    is_late = bool(load) and not process.no_new_privileges
    steps: list[ContainerStep] = [] if is_late else [capabilities]
    if process.no_new_privileges:
        steps.append(NoNewPrivileges())
    if process.exec_cpu_affinity is not None and process.exec_cpu_affinity.final:
        steps.append(SetAffinity(cpus(process.exec_cpu_affinity.final)))
    steps.append(WaitAtGate(process.args, process.env))
    if hooks.start_container:
        steps.append(RunHooks("startContainer", hooks.start_container, extras.state, "created"))
    if process.apparmor_profile:
        steps.append(SetLabel("apparmor", process.apparmor_profile))
    if process.selinux_label:
        steps.append(SetLabel("selinux", process.selinux_label))
    steps += load
    if is_late:
        steps.append(capabilities)
    steps.append(Execute(process.args, process.env, extras.init))
    return steps


def _load_filter(linux: Linux, extras: Extras) -> list[ContainerStep]:
    wanted = linux.seccomp
    if extras.filter:
        return [LoadSeccomp(program=extras.filter)]
    if wanted is None:
        return []
    return [LoadSeccomp(filter_flags(wanted), wanted.listener_metadata, extras.state)]


def cpus(listed: str) -> tuple[int, ...]:
    """The numbers in a list such as `0-3,7`."""
    found: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.strip().partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _sets(wanted: Capabilities, last: int) -> _Sets:
    return _Sets(
        _mask(wanted.bounding, last),
        _mask(wanted.effective, last),
        _mask(wanted.permitted, last),
        _mask(wanted.inheritable, last),
        _mask(wanted.ambient, last),
    )


def _mask(names: tuple[str, ...], last: int) -> int:
    """Capabilities that this kernel does not know cannot be had."""
    numbers = {CAPABILITIES[name] for name in names}
    return sum(1 << number for number in numbers if number <= last)
