"""Refuse what no node of the swarm could ever give.

A reservation that fits nowhere today may fit tomorrow, when other tasks have ended: that is
the scheduler's business, and the task waits. But no waiting helps a task that asks for more
than the largest node has in all.
"""

from collections.abc import Callable, Iterator

from manager.view import ClusterView
from swarm.objects import Node
from swarm.quantities import format_cpus, format_memory
from swarm.specs import TaskSpec


def exceeded(view: ClusterView, task: TaskSpec) -> tuple[str, ...]:
    """Each field of `task` that is above every node's resources, with the largest node's."""
    return tuple(_problems(view, task))


def _problems(view: ClusterView, task: TaskSpec) -> Iterator[str]:
    limits, reserved = task.limits, task.reservations
    yield from _above(view, "task.limits.cpu_millis", limits.cpu_millis, _cpu, _cores)
    yield from _above(view, "task.limits.memory_bytes", limits.memory_bytes, _memory, format_memory)
    yield from _above(view, "task.reservations.cpu_millis", reserved.cpu_millis, _cpu, _cores)
    yield from _above(
        view, "task.reservations.memory_bytes", reserved.memory_bytes, _memory, format_memory
    )


def _above(
    view: ClusterView,
    path: str,
    wanted: int,
    has: Callable[[Node], int],
    text: Callable[[int], str],
) -> Iterator[str]:
    if not wanted or any(has(node) >= wanted for node in view.nodes.values()):
        return
    largest = max(view.nodes.values(), key=lambda node: (has(node), node.id), default=None)
    if largest is not None and has(largest):
        name = largest.description.hostname or largest.id
        yield (
            f"{path}: {text(wanted)} is more than any node has; "
            f"the largest, {name}, has {text(has(largest))}"
        )


def _cpu(node: Node) -> int:
    return node.description.resources.cpu_millis


def _memory(node: Node) -> int:
    return node.description.resources.memory_bytes


def _cores(millis: int) -> str:
    return f"{format_cpus(millis)} cpus"
