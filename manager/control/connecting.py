"""Put running tasks into networks beside those of their service, and take them out again.

A connection is one more attachment of the task, without addresses yet: the leader gives them, as it
gives all others, and the agent brings the interface into the running container. It lives as long
as the task; whoever takes the task's place knows nothing of it.
"""

from collections.abc import Iterable

from msgspec import structs

from manager import layout
from manager.control.networks import relying_on
from manager.control.targets import full_name
from manager.networks.attaching import networks_of_version
from manager.store import Commit, Put, Unchanged
from manager.view import ClusterView
from swarm.checking.networks import names
from swarm.codec import pack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Event, Network, Task
from swarm.specs import HOST, NONE
from swarm.states import TaskState


def connect(
    view: ClusterView,
    network_id: NetworkId,
    task_id: TaskId,
    aliases: Iterable[str],
    *,
    now: float,
) -> Commit:
    """Have the task be in the network, too; `Refused` where it cannot be."""
    network, task = _both(view, network_id, task_id)
    aliases = tuple(aliases)
    _check_aliases(aliases)
    name = network.spec.name
    if not network.spec.attachable:
        raise Refused(
            f"network {name} is not attachable: it takes in services only",
            hint="make one with --attachable, or give it to the service: swarmctl service update "
            f"--network-add {name} {task.service_name}",
        )
    if any(each.network_id == network_id for each in task.attachments):
        raise Refused(
            f"task {full_name(task)} is in network {name} already", hint="there is nothing to do"
        )
    if (own := _own_namespace(view, task)) is not None:
        raise Refused(
            f"task {full_name(task)} has network {own} and no interfaces of its own",
            hint="give its service a network instead",
        )
    wanted = Attachment(network_id=network_id, aliases=aliases)
    changed = structs.replace(task, attachments=(*task.attachments, wanted), updated_at=now)
    return relying_on(view, _replaced(view, changed), (network_id,))


def disconnect(
    view: ClusterView, network_id: NetworkId, task_id: TaskId, *, force: bool, now: float
) -> Commit:
    """Have the task be in the network no more; `Refused` where its service is."""
    network, task = _both(view, network_id, task_id)
    name = network.spec.name
    if not any(each.network_id == network_id for each in task.attachments):
        if force:
            return Commit()
        raise Refused(
            f"task {full_name(task)} is not in network {name}", hint="there is nothing to do"
        )
    if is_of_service(view, network_id, task):
        raise Refused(
            f"task {full_name(task)} is in network {name} because its service is",
            hint=f"change the service: swarmctl service update --network-rm {name} "
            f"{task.service_name}",
        )
    left = tuple(each for each in task.attachments if each.network_id != network_id)
    return _replaced(view, structs.replace(task, attachments=left, updated_at=now))


def is_of_service(view: ClusterView, network_id: NetworkId, task: Task) -> bool:
    """Whether the task is in a network by its spec, and not because somebody connected it."""
    ingress = view.ingress.id if view.ingress is not None else None
    version = view.version_of(task.service_id, task.spec_version)
    return version is not None and network_id in networks_of_version(version, ingress)


def addresses_in(view: ClusterView, network_id: NetworkId, task_id: TaskId) -> tuple[str, ...]:
    """What the leader gave the task in the network so far."""
    task = view.tasks.get(task_id)
    attachments = task.attachments if task is not None else ()
    return next((each.addresses for each in attachments if each.network_id == network_id), ())


def connection_event(network: Network, task: Task, action: str, *, now: float) -> Event:
    """A task was connected to a network, or disconnected."""
    return Event(
        at=now,
        kind="network",
        action=action,
        id=network.id,
        name=network.spec.name,
        attributes={
            "type": network.spec.driver.word,
            "container": task.id,
            "task": full_name(task),
            "node_id": task.node_id,
        },
    )


def _both(view: ClusterView, network_id: NetworkId, task_id: TaskId) -> tuple[Network, Task]:
    network, task = view.networks.get(network_id), view.tasks.get(task_id)
    if network is None or task is None:
        raise Conflict("the network or the task was removed meanwhile")
    if task.desired > TaskState.RUNNING or view.state(task).is_terminal:
        raise Refused(
            f"task {full_name(task)} is not running: it is {view.state(task).word}",
            hint=f"`swarmctl service ps {task.service_name}` shows those that are",
        )
    return network, task


def _own_namespace(view: ClusterView, task: Task) -> str | None:
    """The node's own network that the task has instead of interfaces, if it does."""
    spec = view.task_spec(task.service_id, task.spec_version)
    targets = {each.target for each in spec.networks} if spec is not None else set[str]()
    return next((each for each in (HOST, NONE) if each in targets), None)


def _check_aliases(aliases: tuple[str, ...]) -> None:
    if problems := tuple(f"{path}: {text}" for path, text in names("aliases", aliases)):
        raise Invalid(problems[0], problems=problems)


def _replaced(view: ClusterView, task: Task) -> Commit:
    key = layout.task_key(task.service_id, task.id)
    return Commit((Unchanged(key, view.version(key)),), (Put(key, pack(task)),))
