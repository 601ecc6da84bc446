"""Check the process of a config.json, or of an exec."""

import re
from collections.abc import Iterator
from typing import Final

from runtime.oci import names
from runtime.oci.config import Capabilities, Process, Scheduler
from runtime.oci.problem import Problem, absolute, one_of, twice

_CPU_LIST: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_REAL_TIME: Final = ("SCHED_FIFO", "SCHED_RR")


def of_process(path: str, process: Process) -> Iterator[Problem]:
    """Its problems. No program at all is none: such a container can be created."""
    prefix = f"{path}." if path else ""
    if process.args and not process.args[0]:
        yield Problem(f"{prefix}args[0]", "must name a program")
    yield from absolute(f"{prefix}cwd", process.cwd)
    for number, variable in enumerate(process.env):
        if "=" not in variable[1:]:
            yield Problem(f"{prefix}env[{number}]", f"must be NAME=VALUE, is {variable!r}")
    if process.capabilities is not None:
        yield from _capabilities(f"{prefix}capabilities", process.capabilities)
    for number, limit in enumerate(process.rlimits):
        yield from one_of(f"{prefix}rlimits[{number}].type", limit.type, names.RLIMITS)
        if limit.soft > limit.hard:
            text = f"must not be above the hard limit {limit.hard}, is {limit.soft}"
            yield Problem(
                f"{prefix}rlimits[{number}].soft", text, f"{prefix}rlimits[{number}].hard"
            )
    yield from twice(f"{prefix}rlimits[{{}}].type", (each.type for each in process.rlimits))
    if process.scheduler is not None:
        yield from _scheduler(f"{prefix}scheduler", process.scheduler)
    if process.io_priority is not None:
        where = f"{prefix}ioPriority.class"
        yield from one_of(where, process.io_priority.io_class, names.IO_CLASSES)
    if process.exec_cpu_affinity is not None:
        affinity = process.exec_cpu_affinity
        for name, cpus in (("initial", affinity.initial), ("final", affinity.final)):
            if cpus and not _CPU_LIST.fullmatch(cpus):
                where = f"{prefix}execCPUAffinity.{name}"
                yield Problem(where, f"must be a list such as 0-3,7, is {cpus!r}")


def _capabilities(path: str, sets: Capabilities) -> Iterator[Problem]:
    for name in ("bounding", "effective", "inheritable", "permitted", "ambient"):
        found: tuple[str, ...] = getattr(sets, name)
        for number, capability in enumerate(found):
            if capability not in names.CAPABILITIES:
                where = f"{path}.{name}[{number}]"
                yield Problem(where, f"no capability is called {capability!r}")


def _scheduler(path: str, scheduler: Scheduler) -> Iterator[Problem]:
    policy, because = scheduler.policy, f"{path}.policy"
    yield from one_of(f"{path}.policy", policy, names.SCHEDULERS)
    for number, flag in enumerate(scheduler.flags):
        yield from one_of(f"{path}.flags[{number}]", flag, names.SCHEDULER_FLAGS)
    if scheduler.priority and policy not in _REAL_TIME:
        yield Problem(f"{path}.priority", "is for SCHED_FIFO and SCHED_RR only", because)
    if policy in _REAL_TIME and not scheduler.priority:
        yield Problem(f"{path}.priority", f"must be between 1 and 99 with {policy}", because)
    if policy != "SCHED_DEADLINE":
        for name in ("runtime", "deadline", "period"):
            if getattr(scheduler, name):
                yield Problem(f"{path}.{name}", "is for SCHED_DEADLINE only", because)
