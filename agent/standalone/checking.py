"""Judge what somebody wants a container to be, before anything is made of it.

What is judged in a service's tasks is judged in the same way here, but for names of variables,
which may be repeated, and sources of mounts. The words are Docker's where its clients are known to
read them.
"""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from agent.standalone.lending import HOST_GATEWAY
from agent.standalone.numbering import numbers, ranges
from swarm import log_drivers
from swarm.capabilities import parse_capability
from swarm.checking.basics import Problem, count
from swarm.checking.container import container, signal_number
from swarm.errors import Invalid
from swarm.specs import LEAST_MEMORY_BYTES, ContainerSpec, Limits, LogDriver
from swarm.standalone import ContainerRestart, Restarting, Shares, StandaloneSpec

_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
_DRIVERS = ("", "local")
_IPC = ("", "private", "shareable", "none", "host")


def check(spec: StandaloneSpec) -> None:
    """Raise `Invalid` with all that is wrong; the first one is the message."""
    problems = tuple(text if not path else f"{path}: {text}" for path, text in _problems(spec))
    if problems:
        raise Invalid(problems[0], problems=problems)


def check_limits(limits: Limits, shares: Shares) -> None:
    """The same, of limits that are to be changed."""
    problems = tuple(
        text if not path else f"{path}: {text}" for path, text in _limits(limits, shares)
    )
    if problems:
        raise Invalid(problems[0], problems=problems)


def check_available(
    limits: Limits, shares: Shares, *, cpus: frozenset[int], nodes: frozenset[int]
) -> None:
    """Raise `Invalid` for processors and memory that this node has not got."""
    if limits.cpu_millis > len(cpus) * 1000:
        raise Invalid(
            f"range of CPUs is from 0.01 to {len(cpus)}.00, as there are only {len(cpus)} CPUs "
            "available"
        )
    for kind, asked, known in (
        ("CPUs", shares.cpuset_cpus, cpus),
        ("memory nodes", shares.cpuset_mems, nodes),
    ):
        if not numbers(asked) <= known:
            raise Invalid(
                f"Requested {kind} are not available - requested {asked}, "
                f"available: {ranges(known)}"
            )


def check_restart(restart: ContainerRestart, *, auto_remove: bool) -> None:
    """The same, of a policy."""
    for _, text in _restart(restart, auto_remove=auto_remove):
        raise Invalid(text)


def _problems(spec: StandaloneSpec) -> Iterator[Problem]:
    yield from _container(spec.container)
    yield from _limits(spec.limits, spec.shares)
    yield from _restart(spec.restart, auto_remove=spec.auto_remove)
    yield from _modes(spec)
    yield from _log_driver(spec.log_driver)
    makes_volumes = spec.volumes or any(not each.startswith("/") for each in spec.binds)
    if spec.volume_driver not in _DRIVERS and makes_volumes:
        yield "", f"error looking up volume plugin {spec.volume_driver}: plugin not found"
    if spec.storage_options:
        yield "", "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    for rule in spec.device_cgroup_rules:
        if not _RULE.fullmatch(rule):
            yield "", f"invalid device cgroup rule format: '{rule}'"
    if spec.shm_bytes < 0:
        yield "", "SHM size can not be less than 0"
    for name in ("console_rows", "console_columns"):
        yield from count(name, getattr(spec, name), most=0xFFFF)


def _log_driver(driver: LogDriver) -> Iterator[Problem]:
    try:
        log_drivers.rotation(driver)
    except Invalid as err:
        yield "", f"{err.message} ({err.hint})" if err.hint else err.message


def _container(spec: ContainerSpec) -> Iterator[Problem]:
    """As a service's, but that a later variable replaces an earlier one, and that one without a
    value takes it away; and capabilities are kept as they were written."""
    env = {each.partition("=")[0]: each for each in spec.env if "=" in each}
    for each in spec.env:
        if not each or each.startswith("="):
            yield "", f"invalid environment variable: {each!r}"
    hosts = tuple(each for each in spec.hosts if not each.endswith(f":{HOST_GATEWAY}"))
    judged = replace(
        spec,
        hosts=hosts,
        env=tuple(each for each in env.values() if not each.startswith("=")),
        cap_add=tuple(map(_spelled, spec.cap_add)),
        cap_drop=tuple(map(_spelled, spec.cap_drop)),
    )
    if spec.stop_signal:
        try:
            signal_number(spec.stop_signal)
        except Invalid:
            yield "", f"Invalid signal: {spec.stop_signal}"
            judged = replace(judged, stop_signal="")
    for path, text in container(judged):
        yield path.removeprefix("task."), text


def _spelled(capability: str) -> str:
    """As services have it, if there is such a one."""
    try:
        return parse_capability(capability)
    except Invalid:
        return capability


def _limits(limits: Limits, shares: Shares) -> Iterator[Problem]:
    if 0 < limits.memory_bytes < LEAST_MEMORY_BYTES:
        yield "", "Minimum memory limit allowed is 6MB"
    for name in ("cpu_millis", "memory_bytes"):
        yield from count(f"limits.{name}", getattr(limits, name), most=2**62)
    yield from count("limits.pids", limits.pids, most=2**22)
    if limits.swap_bytes < -1:
        yield "", "limits.swap_bytes: must not be negative, but for -1"
    if limits.swap_bytes > 0 and not limits.memory_bytes:
        yield "", "You should always set the Memory limit when using Memoryswap limit, see usage"
    if not -1 <= limits.swappiness <= 100:
        yield "", f"Invalid value: {limits.swappiness}, valid memory swappiness range is 0-100"
    if limits.cpu_millis and (shares.cpu_period_us or shares.cpu_quota_us):
        yield "", "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set"
    yield from _shares(limits, shares)


def _shares(limits: Limits, shares: Shares) -> Iterator[Problem]:
    if shares.cpu_period_us and not 1000 <= shares.cpu_period_us <= 1000000:
        yield (
            "",
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        )
    if 0 < shares.cpu_quota_us < 1000:
        yield "", "CPU cfs quota can not be less than 1ms (i.e. 1000)"
    if shares.cpu_shares < 0:
        yield "", f"invalid CPU shares ({shares.cpu_shares}): value must be a positive integer"
    for name, text in (("cpus", shares.cpuset_cpus), ("mems", shares.cpuset_mems)):
        if text and not _LIST.fullmatch(text):
            yield "", f"Invalid value {text} for cpuset {name}"
    if shares.blkio_weight and not 10 <= shares.blkio_weight <= 1000:
        yield "", "Range of blkio weight is from 10 to 1000"
    if 0 < shares.memory_reservation_bytes < LEAST_MEMORY_BYTES:
        yield "", "Minimum memory reservation allowed is 6MB"
    if 0 < limits.memory_bytes < shares.memory_reservation_bytes:
        yield "", "Minimum memory limit can not be less than memory reservation limit, see usage"


def _restart(restart: ContainerRestart, *, auto_remove: bool) -> Iterator[Problem]:
    if restart.max_retries < 0:
        yield "", "invalid restart policy: maximum retry count cannot be negative"
    if restart.max_retries and restart.condition is not Restarting.ON_FAILURE:
        yield (
            "",
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        )
    if auto_remove and restart.condition is not Restarting.NO:
        yield "", "can't create 'AutoRemove' container with restart policy"


def _modes(spec: StandaloneSpec) -> Iterator[Problem]:
    for name, text, known in (
        ("PID", spec.pid_mode, ("", "host")),
        ("IPC", spec.ipc_mode, _IPC),
        ("UTS", spec.uts_mode, ("", "host")),
        ("cgroup namespace", spec.cgroupns_mode, ("", "private", "host")),
    ):
        joins = name in ("PID", "IPC") and text.startswith("container:")
        if text not in known and not (joins and text.removeprefix("container:")):
            yield "", f"invalid {name} mode: {text}"
    if spec.container.hostname and spec.uts_mode == "host":
        yield "", "conflicting options: hostname and the UTS mode"
