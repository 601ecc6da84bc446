"""Create and remove networks, and see to it that services find theirs.

A name is taken in the same transaction as the network that bears it, and so are its number and its
subnets (`manager.networks.pools`). A service refers to networks by id: the names that its operator
gave are looked up when it is stored. What is used is not removed, and neither side can overtake
the other: whoever stores a service, or connects a task, compares the network and writes its name
anew, and a removal compares that name. So one of both fails and decides again.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from msgspec import Struct, structs

from manager import layout
from manager.control.clusters import present
from manager.networks.attaching import networks_of_version, publishes_everywhere
from manager.networks.pools import Taken, choose, taken_by
from manager.store import Absent, Commit, Compare, Delete, Operation, Put, Unchanged
from manager.view import ClusterView
from swarm.checking.networks import BUILT_IN, check_network
from swarm.codec import pack
from swarm.errors import Invalid, Refused
from swarm.ids import NetworkId, NodeId, ServiceId
from swarm.objects import Network, Service, SpecVersion, Task
from swarm.specs import NetworkSpec, ServiceSpec
from swarm.states import TaskState

KIND = layout.NETWORK_NAMES
_SHOWN = 5


class Users(Struct, frozen=True, kw_only=True):
    """What keeps a network from being removed: names of services, and tasks with addresses.

    Services that are only about to leave it, by their present specs, are `leaving`; `guests` are
    containers that are no tasks, each with its node.
    """

    services: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    guests: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.services or self.tasks or self.guests)


def check_new(view: ClusterView, spec: NetworkSpec) -> None:
    """Refuse what cannot be stored or done, a name that is taken, and a second ingress network."""
    if problems := check_network(spec):
        said = problems[0] if len(problems) == 1 else f"{len(problems)} problems: {problems[0]}"
        raise Invalid(said, problems=problems)
    if (holder := view.names.get((KIND, spec.name))) is not None:
        raise Refused(
            f"name: network name {spec.name} is already taken by network {holder}",
            hint=f"choose another name, or remove the other one: swarmctl network rm {spec.name}",
        )
    if spec.encrypted and (names := _without_wireguard(view)):
        rest = len(names) - _SHOWN
        shown = ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
        raise Refused(
            "encrypted: there is no WireGuard in the kernel of "
            f"node{'s' if len(names) > 1 else ''} {shown}",
            hint="load the module wireguard there (it is noticed within a minute), remove these "
            "nodes from the swarm, or leave encryption out",
        )
    if spec.ingress and view.ingress is not None:
        name = view.ingress.spec.name
        raise Refused(
            f"ingress: there is an ingress network already: {name}",
            hint=f"remove that one first: swarmctl network rm {name}",
        )


def create(
    view: ClusterView,
    spec: NetworkSpec,
    network_id: NetworkId,
    *,
    now: float,
    elsewhere: Sequence[Taken] = (),
) -> tuple[Network, Commit]:
    """A new network and the commit that stores it; `elsewhere` are addresses that hosts reach."""
    check_new(view, spec)
    choice = choose(
        spec,
        present(view),
        (*taken_by(view.networks.values(), view.nodes.values()), *elsewhere),
        used=(each.vni for each in view.networks.values()),
        fence=view.pools,
    )
    network = Network(
        id=network_id,
        spec=spec,
        vni=choice.vni,
        subnets=choice.subnets,
        created_at=now,
        updated_at=now,
    )
    name, key = layout.name_key(KIND, spec.name), layout.network_key(network_id)
    return network, Commit(
        (Absent(name), Absent(key), _known(view, layout.POOLS)),
        (
            Put(name, network_id.encode()),
            Put(key, pack(network)),
            Put(layout.POOLS, choice.fence.encode()),
        ),
    )


def remove(view: ClusterView, network_id: NetworkId) -> Commit:
    """Delete a network; `Refused` names the services and tasks that use it."""
    network = view.networks[network_id]
    if found := users(view, network_id):
        raise _used(network, found)
    key, name = layout.network_key(network_id), layout.name_key(KIND, network.spec.name)
    return Commit(
        (Unchanged(key, view.version(key)), _known(view, name)), (Delete(key), Delete(name))
    )


def users(view: ClusterView, network_id: NetworkId, tasks: Sequence[Task] | None = None) -> Users:
    """Who is in a network, or will be: rollouts that may lead back to it count as well.

    Give its `tasks` if they are known. They are looked for, among all there are, only where no
    service is in the way already.
    """
    services = [
        view.services[each]
        for each in view.members(network_id)
        if each in view.services and _is_in(view, view.services[each], network_id)
    ]
    leaving = [each.spec.name for each in services if not _names(view, each, network_id)]
    return Users(
        services=tuple(sorted(each.spec.name for each in services)),
        leaving=tuple(sorted(leaving)),
        tasks=tuple(tasks) if tasks is not None else () if services else tasks_in(view, network_id),
        guests=guests_in(view, network_id),
    )


def guests_in(view: ClusterView, network_id: NetworkId) -> tuple[str, ...]:
    """The containers that are no tasks and hold addresses in a network, each with its node."""
    found = [each for each in view.guests_in(network_id).values() if not each.message]
    return tuple(sorted(f"{each.name} on {_hostname(view, each.node_id)}" for each in found))


def tasks_in(view: ClusterView, network_id: NetworkId) -> tuple[Task, ...]:
    """The tasks that hold addresses in a network, or are to have some, by name and slot."""
    return tuple(tasks_by_network(view, {network_id})[network_id])


def tasks_by_network(view: ClusterView, wanted: Iterable[NetworkId]) -> dict[NetworkId, list[Task]]:
    """The same for several networks, with one look at all tasks."""
    found: dict[NetworkId, list[Task]] = {each: [] for each in wanted}
    for task in view.tasks.values() if found else ():
        for each in task.attachments:
            if each.network_id in found and not view.state(task).is_terminal:
                found[each.network_id].append(task)
    for tasks in found.values():
        tasks.sort(key=lambda each: (each.service_name, each.slot, each.id))
    return found


def users_of_all(view: ClusterView) -> dict[NetworkId, Users]:
    """Who is in each network; tasks are looked for only where no service is."""
    found = {each: users(view, each, ()) for each in view.networks}
    idle = [each for each, of in found.items() if not of]
    for network_id, tasks in tasks_by_network(view, idle).items():
        found[network_id] = Users(tasks=tuple(tasks))
    return found


def unused(
    view: ClusterView, *, labels: Sequence[str], not_labels: Sequence[str], until: float
) -> tuple[NetworkId, ...]:
    """The networks that pruning removes, in order of their names."""
    used = users_of_all(view)
    found = [
        network
        for network in view.networks.values()
        if not network.spec.ingress
        and (not labels or any(_has(network.spec, each) for each in labels))
        and not any(_has(network.spec, each) for each in not_labels)
        and (not until or network.created_at < until)
        and not used[network.id]
    ]
    return tuple(each.id for each in sorted(found, key=lambda each: each.spec.name))


def resolved(view: ClusterView, spec: ServiceSpec) -> ServiceSpec:
    """`spec` with the ids of the networks that it names; `Invalid` tells of all it cannot be in."""
    problems, found = list[str](), dict[str, int]()
    networks = list(spec.task.networks)
    for index, each in enumerate(networks):
        if each.target in BUILT_IN:
            continue
        path = f"task.networks[{index}]"
        target = NetworkId(each.target)
        if target not in view.networks:
            target = NetworkId(view.names.get((KIND, each.target), ""))
        network = view.networks.get(target)
        if network is None:
            problems.append(
                f"{path}: there is no network {each.target!r}{_nearest(view, each.target)}"
            )
        elif network.spec.ingress:
            problems.append(
                f"{path}: {network.spec.name} is for published ports only; publish a port instead"
            )
        elif (first := found.setdefault(target, index)) != index:
            problems.append(f"{path}: {network.spec.name} is given twice, as networks[{first}]")
        networks[index] = structs.replace(each, target=target)
    if publishes_everywhere(spec.task, spec.endpoint.ports) and view.ingress is None:
        problems.append(
            "endpoint.ports: there is no ingress network that published ports could use; make one "
            "(swarmctl network create --ingress ingress), or publish with mode=host"
        )
    if problems:
        raise Invalid(problems[0], problems=tuple(problems))
    return structs.replace(spec, task=structs.replace(spec.task, networks=tuple(networks)))


def keeping(view: ClusterView, commit: Commit, spec: ServiceSpec) -> Commit:
    """`commit` of a service with `spec`, if all its networks are there until then."""
    wanted = [NetworkId(each.target) for each in spec.task.networks if each.target not in BUILT_IN]
    if publishes_everywhere(spec.task, spec.endpoint.ports) and view.ingress is not None:
        wanted.append(view.ingress.id)
    return relying_on(view, commit, wanted)


def relying_on(view: ClusterView, commit: Commit, wanted: Iterable[NetworkId]) -> Commit:
    """`commit`, if these networks are there until then."""
    compares, operations = list[Compare](), list[Operation]()
    for network_id in dict.fromkeys(wanted):
        network = view.networks.get(network_id)
        if network is None:
            raise Invalid(
                f"network {network_id} was removed meanwhile",
                hint="`swarmctl network ls` shows those that there are",
            )
        key = layout.network_key(network_id)
        compares.append(Unchanged(key, view.version(key)))
        operations.append(Put(layout.name_key(KIND, network.spec.name), network_id.encode()))
    return Commit((*commit.compares, *compares), (*commit.operations, *operations))


def named(view: ClusterView, spec: ServiceSpec) -> ServiceSpec:
    """`spec` with the names of its networks, for people to read."""
    if all(each.target in BUILT_IN for each in spec.task.networks):
        return spec
    networks = tuple(
        structs.replace(each, target=view.networks[NetworkId(each.target)].spec.name)
        if each.target in view.networks
        else each
        for each in spec.task.networks
    )
    return structs.replace(spec, task=structs.replace(spec.task, networks=networks))


def _is_in(view: ClusterView, service: Service, network_id: NetworkId) -> bool:
    ingress = view.ingress.id if view.ingress is not None else None
    return any(
        network_id in networks_of_version(each, ingress) for each in _versions(view, service)
    )


def _names(view: ClusterView, service: Service, network_id: NetworkId) -> bool:
    """Whether the service is in the network by its present spec."""
    ingress = view.ingress.id if view.ingress is not None else None
    return network_id in networks_of_version(SpecVersion.of(service), ingress)


def _versions(view: ClusterView, service: Service) -> Iterator[SpecVersion]:
    """Every version that a task of the service may still be made from."""
    yield SpecVersion.of(service)
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    if service.previous_spec is not None and rollout is not None and not rollout.state.is_over:
        yield SpecVersion.of(structs.replace(service, spec=service.previous_spec))
    numbers = {
        task.spec_version
        for task in view.tasks_of(service.id).values()
        if task.desired <= TaskState.RUNNING and not view.state(task).is_terminal
    }
    versions = view.versions_of(service.id)
    for number in sorted(numbers - {service.spec_version}):
        if (version := versions.get(number)) is not None:
            yield version


def _without_wireguard(view: ClusterView) -> list[str]:
    """The nodes that have told what they are, and of no key."""
    told = [node.description for node in view.nodes.values()]
    return sorted(each.hostname for each in told if each.hostname and not each.public_key)


def _used(network: Network, found: Users) -> Refused:
    name = network.spec.name
    if found.services:
        rest = len(found.services) - _SHOWN
        shown = ", ".join(found.services[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
        flag = "--publish-rm … SERVICE" if network.spec.ingress else f"--network-rm {name} SERVICE"
        take = f"remove them, or take them out of it: swarmctl service update {flag}"
        wait = "wait until tasks of earlier versions are replaced, and no rollback leads there"
        return Refused(
            f"network {name} is in use by the following "
            f"service{'s' if len(found.services) > 1 else ''}: {shown}",
            hint=wait if found.leaving == found.services else take,
        )
    if not found.tasks:
        rest = len(found.guests) - _SHOWN
        names = ", ".join(found.guests[:_SHOWN])
        return Refused(
            f"network {name} has active endpoints: container{'s' if len(found.guests) > 1 else ''} "
            f"{names}{f' and {rest} more' if rest > 0 else ''}",
            hint="stop them, or disconnect them on their nodes",
        )
    rest = len(found.tasks) - _SHOWN
    names = ", ".join(f"{_task_name(each)}" for each in found.tasks[:_SHOWN])
    return Refused(
        f"network {name} is in use by the following task{'s' if len(found.tasks) > 1 else ''}: "
        f"{names}{f' and {rest} more' if rest > 0 else ''}",
        hint="wait until they have ended, or take out those that were connected to it: swarmctl "
        f"network disconnect {name} TASK",
    )


def _task_name(task: Task) -> str:
    return (
        f"{task.service_name or ServiceId(task.service_id)}.{task.slot or task.node_id}.{task.id}"
    )


def _hostname(view: ClusterView, node_id: NodeId) -> str:
    node = view.nodes.get(node_id)
    return (node.description.hostname if node is not None else "") or node_id


def _nearest(view: ClusterView, name: str) -> str:
    names = sorted(each.spec.name for each in view.networks.values() if not each.spec.ingress)
    if close := get_close_matches(name, (*names, *BUILT_IN), n=3):
        return f"; did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if names:
        return f"; there are {shown}, and each node's own"
    return f"; make it with `swarmctl network create {name}`"


def _has(spec: NetworkSpec, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in spec.labels and (not equals or spec.labels[key] == value)


def _known(view: ClusterView, key: str) -> Compare:
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)
