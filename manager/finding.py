"""Find what a user means: a whole id, a name, or the only id that begins so.

An exact id wins over a name and a name over a prefix. Several nodes may share a hostname;
then the name is ambiguous and the ids have to be used. A task's name is its service's and its
slot (`web.1`), which its earlier attempts had too: it means the one that should run, or the
newest. With its id behind it (`web.1.<id>`) it means that one.
"""

from collections.abc import Collection, Iterable

from manager.view import ClusterView
from swarm.checking.networks import BUILT_IN
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState

RUNNING = TaskState.RUNNING
_SHOWN = 5


def find_service(view: ClusterView, text: str) -> ServiceId:
    """The service that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    if text in view.services:
        return ServiceId(text)
    named = [each.id for each in view.services.values() if each.spec.name == text]
    found = _one("service", text, named or _beginning(view.services, text))
    return ServiceId(found)


def find_node(view: ClusterView, text: str) -> NodeId:
    """The node that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    if text in view.nodes:
        return NodeId(text)
    named = [each.id for each in view.nodes.values() if each.description.hostname == text]
    return NodeId(_one("node", text, named or _beginning(view.nodes, text)))


def find_task(view: ClusterView, text: str) -> TaskId:
    """The task that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    if text in view.tasks:
        return TaskId(text)
    if found := attempts(view, text):
        return found[0].id
    return TaskId(_one("task", text, _by_full_name(view, text) or _beginning(view.tasks, text)))


def find_secret(view: ClusterView, text: str) -> SecretId:
    """The secret that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    return SecretId(_content(view, "secret", view.secrets, text))


def find_config(view: ClusterView, text: str) -> ConfigId:
    """The config that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    return ConfigId(_content(view, "config", view.configs, text))


def find_network(view: ClusterView, text: str) -> NetworkId:
    """The network that `text` means; `Missing`, or `Invalid` naming all that it may mean."""
    if text in BUILT_IN:
        raise Refused(
            f"network {text} is every node's own, and the swarm knows nothing of it",
            hint="name one that `swarmctl network create` made",
        )
    return NetworkId(_content(view, "network", view.networks, text))


def attempts(view: ClusterView, text: str) -> list[Task]:
    """The tasks that are called `text`, such as `web.1`; the one that counts is first."""
    found = [
        task
        for name, task in _tasks_below(view, text)
        if text in {f"{name}.{each}" for each in _replicas(view, task)}
    ]
    return sorted(found, key=lambda each: (each.desired > RUNNING, -each.created_at, each.id))


def _by_full_name(view: ClusterView, text: str) -> list[TaskId]:
    """The tasks that `web.1.<beginning of an id>` may mean."""
    start, _, beginning = text.rpartition(".")
    return [
        task.id
        for name, task in _tasks_below(view, text)
        if beginning
        and task.id.startswith(beginning)
        and start in {f"{name}.{each}" for each in _replicas(view, task)}
    ]


def _tasks_below(view: ClusterView, text: str) -> Iterable[tuple[str, Task]]:
    """Tasks of the services whose name `text` begins with, each with that name."""
    for service in view.services.values():
        if text.startswith(f"{service.spec.name}."):
            for task in view.tasks_of(service.id).values():
                yield service.spec.name, task


def _replicas(view: ClusterView, task: Task) -> tuple[str, ...]:
    """What a task's replica is called: its slot, or in a global service its node, if it has one."""
    if task.slot:
        return (str(task.slot),)
    if not task.node_id:
        return (task.id,)
    node = view.nodes.get(task.node_id)
    hostname = (node.description.hostname,) if node is not None else ()
    return (task.node_id, *filter(None, hostname))


def _content(view: ClusterView, kind: str, ids: Collection[str], text: str) -> str:
    if text in ids:
        return text
    named = view.names.get((kind, text))
    return _one(kind, text, [named] if named else _beginning(ids, text))


def _beginning(ids: Iterable[str], text: str) -> list[str]:
    return [each for each in ids if text and each.startswith(text)]


def _one(kind: str, text: str, found: Iterable[str]) -> str:
    ids = sorted(found)
    if not ids:
        raise Missing(f"{kind} {text!r} not found", hint=f"list what there is: {_LISTING[kind]}")
    if len(ids) > 1:
        shown = ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
        raise Invalid(
            f"{kind} {text!r} is ambiguous: {len(ids)} match ({shown})",
            hint=f"use more of the {kind}'s id",
        )
    return ids[0]


_LISTING = {
    "service": "swarmctl service ls",
    "node": "swarmctl node ls",
    "task": "swarmctl service ps SERVICE",
    "secret": "swarmctl secret ls",
    "config": "swarmctl config ls",
    "network": "swarmctl network ls",
}
