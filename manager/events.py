"""Tell what happened from what was and what is.

Events are derived from pairs of objects and never stored: whoever sees the same changes
derives the same events, on every manager. `old` is None for what appeared and `new` for
what vanished. Times are those of the object, or the observer's when it carries none.
"""

from swarm.objects import Event, Network, Node, Observation, Service, Task
from swarm.states import NodeState, TaskState

LONGEST_ATTRIBUTE = 500


def service_event(old: Service | None, new: Service | None, *, now: float) -> Event | None:
    """A service was created, updated or removed; None when nobody would call it a change."""
    if old == new:
        return None
    service = new or old
    assert service is not None
    return Event(
        at=service.updated_at or now if new else now,
        kind="service",
        action=_action(old, new, appeared="create"),
        id=service.id,
        name=service.spec.name,
        attributes={"version": str(service.spec_version)},
    )


def node_event(old: Node | None, new: Node | None, *, now: float) -> Event | None:
    """A node joined, was updated or removed; what its agent describes is no event."""
    if old is not None and new is not None and old.spec == new.spec:
        return None
    node = new or old
    assert node is not None
    return Event(
        at=now,
        kind="node",
        action=_action(old, new, appeared="join"),
        id=node.id,
        name=node.description.hostname,
        attributes={"role": node.spec.role.word, "availability": node.spec.availability.word},
    )


def network_event(old: Network | None, new: Network | None, *, now: float) -> Event | None:
    """A network was created, updated or removed."""
    network = new or old
    if old == new or network is None:
        return None
    return Event(
        at=now,
        kind="network",
        action=_action(old, new, appeared="create"),
        id=network.id,
        name=network.spec.name,
        attributes={"driver": network.spec.driver.word},
    )


def node_state_event(node: Node, state: NodeState, *, now: float) -> Event:
    """A node is ready, down or, after a change of leader, not heard of yet."""
    return Event(at=now, kind="node", action=state.word, id=node.id, name=node.description.hostname)


def task_event(task: Task, action: str, *, now: float) -> Event:
    """A task was created or removed."""
    return Event(
        at=now,
        kind="task",
        action=action,
        id=task.id,
        name=task_name(task),
        attributes=_whereabouts(task),
    )


def task_state_event(task: Task, state: TaskState, seen: Observation, *, now: float) -> Event:
    """A task entered `state`."""
    attributes = _whereabouts(task)
    if state.is_terminal:
        attributes["exit_code"] = str(seen.exit_code)
    if reason := seen.error or seen.message:
        attributes["reason"] = reason
    if seen.oom_killed:
        attributes["oom_killed"] = "true"
    return Event(
        at=seen.at or now,
        kind="task",
        action=state.word,
        id=task.id,
        name=task_name(task),
        attributes=attributes,
    )


def health_event(task: Task, seen: Observation, *, now: float) -> Event:
    """A task's health check has come to another result; the action is Docker's."""
    found = {"failing_streak": str(seen.failing_streak)} if seen.failing_streak else {}
    return Event(
        at=now,
        kind="task",
        action=f"health_status: {seen.health.word}",
        id=task.id,
        name=task_name(task),
        attributes=_whereabouts(task) | found,
    )


def program_event(task: Task, action: str, attributes: dict[str, str], *, now: float) -> Event:
    """Somebody ran a program in a task's container, joined it or held it still."""
    found = {name: value[:LONGEST_ATTRIBUTE] for name, value in attributes.items() if value}
    return Event(
        at=now,
        kind="task",
        action=action,
        id=task.id,
        name=task_name(task),
        attributes=_whereabouts(task) | found,
    )


def task_name(task: Task) -> str:
    """What users call a task: its service and its slot, or its node when it is global.

    A global one that waits has no node yet: what tells it from the others is its id.
    """
    return f"{task.service_name or task.service_id}.{task.slot or task.node_id or task.id}"


def _action(old: object | None, new: object | None, *, appeared: str) -> str:
    if old is None:
        return appeared
    return "remove" if new is None else "update"


def _whereabouts(task: Task) -> dict[str, str]:
    found = {"service_id": task.service_id, "slot": str(task.slot), "node_id": task.node_id}
    return {name: value for name, value in found.items() if value}
