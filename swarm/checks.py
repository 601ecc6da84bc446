"""Check a service spec whole: every problem at once, each with its path.

The command line checks before it sends and the manager checks again before it commits, with
the same function, so no other client can store what an agent would choke on. Only what the
spec itself can tell is checked here: whether an image exists, or a node is large enough, is
asked of those who know. What a template (`{{.Task.Slot}}`) stands for is judged once it has been
filled in; that its names exist is judged here.
Each subject has a module in `swarm.checking`.
"""

import re
from collections.abc import Iterator

from swarm import log_drivers
from swarm.checking.basics import Problem, count, labels, replicas
from swarm.checking.container import SIGNALS, ULIMITS, container, signal_number
from swarm.checking.endpoint import endpoint
from swarm.checking.networks import attachments
from swarm.checking.placement import placement
from swarm.checking.policies import autoscale, restarts, rollouts, schedule
from swarm.checking.resources import resources
from swarm.checking.sizes import sizes
from swarm.checking.templates import templates
from swarm.errors import Invalid
from swarm.specs import Replicated, ReplicatedJob, ServiceSpec, TaskSpec

__all__ = ["SIGNALS", "ULIMITS", "check_service", "signal_number"]

_NAME = re.compile(r"[A-Za-z0-9](?:[-_]*[A-Za-z0-9]+)*")


def check_service(spec: ServiceSpec) -> tuple[str, ...]:
    """Every problem of `spec` as `path: what is wrong`; none when it may be stored."""
    return tuple(f"{path}: {text}" for path, text in _service(spec))


def _service(spec: ServiceSpec) -> Iterator[Problem]:
    if not spec.name:
        yield "name", "must not be empty"
    elif len(spec.name) > 63 or not _NAME.fullmatch(spec.name):
        yield (
            "name",
            f"{spec.name!r} must be letters, digits, - and _, start and end with a letter or "
            "digit, and have at most 63 characters",
        )
    yield from labels("labels", spec.labels)
    match spec.mode:
        case Replicated(replicas=wanted):
            yield from replicas("replicated.replicas", wanted)
        case ReplicatedJob(max_concurrent=at_once, total=total):
            yield from count("replicated_job.max_concurrent", at_once)
            yield from replicas("replicated_job.total", total)
        case _:
            pass
    yield from _task(spec.task)
    yield from templates(spec)
    yield from placement(spec)
    yield from rollouts(spec)
    yield from schedule(spec)
    yield from autoscale(spec)
    yield from attachments(spec)
    yield from endpoint(spec)
    yield from sizes(spec)


def _task(task: TaskSpec) -> Iterator[Problem]:
    yield from container(task.container)
    yield from resources(task)
    yield from restarts(task.restart)
    yield from _log_driver(task)


def _log_driver(task: TaskSpec) -> Iterator[Problem]:
    try:
        log_drivers.rotation(task.log_driver)
    except Invalid as err:
        path = "name" if log_drivers.is_unknown(task.log_driver) else "options"
        yield f"task.log_driver.{path}", f"{err.message}; {err.hint}"
