"""Find what a user means: a whole id, a name, or the only id that begins so.

An exact id wins over a name and a name over a prefix. Several nodes may share a hostname;
then the name is ambiguous and the ids have to be used.
"""

from collections.abc import Iterable

from manager.view import ClusterView
from swarm.errors import Invalid, Missing
from swarm.ids import NodeId, ServiceId, TaskId

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
    return TaskId(_one("task", text, _beginning(view.tasks, text)))


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
}
