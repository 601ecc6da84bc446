"""Put together what nodes have to know of networks, record by record, as the view changes.

The records of one network are one subject: the network itself, the services in it, the tasks in
it that have a node and have not ended, and the nodes of these. A node follows the subjects that
concern it: the networks of its tasks, and what is published, for which every node answers. So a
change costs as much as there are nodes that follow it, and finding them takes no search. Nodes
with a task that is published follow all nodes, for each may pass callers on to them.

A task answers for its service while it is to run and does, is not unhealthy, and its node is not
known to be down. Tasks without networks cost one look at an empty field. Guests, which are
containers of nodes and no tasks, are told of in the same way, and have a name instead of a service.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from manager.applied import Applied
from manager.decoding import GuestKey
from manager.dispatch.bulletins import Bulletin
from manager.events import task_name
from manager.networks.attaching import networks_of_version
from manager.networks.reaching import data_path_ports
from manager.view import ClusterView
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Guest, Node, Sealed, Service, SpecVersion, Task
from swarm.specs import ClusterSpec, EndpointMode, NetworkDriver, PublishMode
from swarm.states import HealthState, NodeState, TaskState
from swarm.topology import (
    Endpoint,
    NetworkKey,
    Peer,
    Publication,
    Record,
    VirtualService,
    key_of,
)

Unseal = Callable[[int, Sealed], bytes | None]
"""Open one of the secrets of encrypted networks; None when it does not open."""

PUBLISHED = "published"
EVERYBODY = "everybody"
KEYS = "keys"
_NETWORK = "network/"
_NODE = "node/"


class Audience(Struct, frozen=True):
    """The nodes that a change may concern; `is_all` is every node."""

    nodes: frozenset[NodeId] = frozenset()
    is_all: bool = False

    def __bool__(self) -> bool:
        return bool(self.nodes) or self.is_all


class Networks:
    """All records, by subject. Leave no `Applied` out. `unseal` opens network keys.

    A network that is `local` does not reach beyond its nodes.
    """

    def __init__(self, unseal: Unseal = lambda number, sealed: None) -> None:
        self.data_path_port = ClusterSpec().data_path_port
        self.local: set[NetworkId] = set()
        self._unseal = unseal
        self._bulletins: dict[str, Bulletin] = {}
        self._tasks: dict[TaskId, tuple[Endpoint, ...]] = {}
        self._on_node: dict[NodeId, dict[TaskId, None]] = {}
        self._there: dict[NetworkId, Counter[NodeId]] = {}
        self._networks_of: dict[NodeId, Counter[NetworkId]] = {}
        self._services: dict[ServiceId, dict[str, str]] = {}
        self._ingress: NetworkId | None = None
        self._encrypted: set[NetworkId] = set()
        self._touched: set[NetworkId] = set()
        self._heard: set[NodeId] = set()
        self._is_for_all = False

    @classmethod
    def of(cls, view: ClusterView, unseal: Unseal = lambda number, sealed: None) -> "Networks":
        """Take in a whole view; after that, `take` keeps in step with it."""
        found = cls(unseal)
        everything = Applied(
            networks=frozenset(view.networks),
            peers=frozenset(view.nodes),
            endpoints=frozenset(view.services),
            tasks=tuple(view.tasks),
            cluster=True,
            network_keys=True,
            guests=frozenset(view.guests),
        )
        found.take(view, everything)
        return found

    # -- questions -----------------------------------------------------------------------

    def subjects_of(self, node_id: NodeId) -> Mapping[str, Bulletin]:
        """What a node has to follow now."""
        networks = dict.fromkeys(self._networks_of.get(node_id, ()))
        found = [EVERYBODY] if self._ingress in networks else []
        if self._is_published() and self._ingress is not None:
            networks[self._ingress] = None
            found.append(PUBLISHED)
        if not networks:
            return {}
        if not self._encrypted.isdisjoint(networks):
            found.append(KEYS)
        found += (f"{_NETWORK}{each}" for each in networks)
        found.append(f"{_NODE}{node_id}")
        return {each: self._bulletin(each) for each in found}

    # -- following the view --------------------------------------------------------------

    def take(self, view: ClusterView, applied: Applied) -> Audience:
        """Follow what `applied` did to the view; whom it concerns."""
        for network_id in sorted(applied.networks):
            self._put_network(view, network_id)
        for node_id in sorted(applied.peers):
            self._put_node(view, node_id)
            for task in view.tasks_on(node_id).values():
                if task.attachments:
                    self._put_task(view, task.id, task)
            self._put_guests(view, view.guests_on(node_id))
        self._put_guests(view, applied.guests)
        for task_id in applied.tasks:
            known = view.tasks.get(task_id)
            if (known is not None and known.attachments) or task_id in self._tasks:
                self._put_task(view, task_id, known)
        for node_id in applied.nodes:
            for task_id in tuple(self._on_node.get(node_id, ())):
                if not view.stays_of(task_id):
                    self._put_task(view, task_id, view.tasks.get(task_id))
            self._put_guests(view, view.guests_on(node_id))
        for service_id in sorted(applied.endpoints):
            self._put_service(view, service_id)
        if applied.cluster:
            self._put_port(view)
        if applied.network_keys:
            self._put_keys(view)
        return self._audience()

    def _audience(self) -> Audience:
        is_all = self._is_for_all or (self._ingress in self._touched and self._is_published())
        for network_id in self._touched:
            self._heard.update(self._there.get(network_id, ()))
        heard, self._heard = frozenset(self._heard), set()
        self._touched.clear()
        self._is_for_all = False
        return Audience(heard, is_all)

    def _put_network(self, view: ClusterView, network_id: NetworkId) -> None:
        network, key = view.networks.get(network_id), f"network/{network_id}"
        is_local = network is not None and network.spec.driver is NetworkDriver.BRIDGE
        _note(self.local, network_id, is_one=is_local)
        is_encrypted = network is not None and network.spec.encrypted
        _note(self._encrypted, network_id, is_one=is_encrypted)
        if network is None:
            self._drop(f"{_NETWORK}{network_id}", key)
        else:
            self._put(f"{_NETWORK}{network_id}", network)
        self._touched.add(network_id)
        services = set(view.members(network_id))
        ingress = view.ingress.id if view.ingress is not None else None
        if ingress != self._ingress:
            self._ingress, self._is_for_all = ingress, True
            services |= self._services.keys() | view.endpoints.keys()
        for service_id in sorted(services):
            self._put_service(view, service_id)

    def _put_node(self, view: ClusterView, node_id: NodeId) -> None:
        node = view.nodes.get(node_id)
        subjects = [EVERYBODY, f"{_NODE}{node_id}"]
        networks = self._networks_of.get(node_id, Counter[NetworkId]()).keys() - self.local
        subjects += (f"{_NETWORK}{each}" for each in networks)
        for subject in subjects:
            if node is None:
                self._drop(subject, _peer_key(node_id))
            else:
                self._put(subject, _peer(node))
        if node is None:
            self._bulletins.pop(f"{_NODE}{node_id}", None)
        self._heard.add(node_id)
        self._touched |= networks
        if self._ingress is not None:
            self._touched.add(self._ingress)

    def _put_guests(self, view: ClusterView, keys: Iterable[GuestKey]) -> None:
        for container_id in sorted({container_id for container_id, _ in keys}):
            after = [
                _guest(each, is_serving=view.node_state(each.node_id) is not NodeState.DOWN)
                for each in view.stays_of(container_id)
                if each.addresses and each.node_id in view.nodes
            ]
            self._put_endpoints(view, container_id, tuple(after))

    def _put_task(self, view: ClusterView, task_id: TaskId, task: Task | None) -> None:
        after = tuple(_endpoints(view, task)) if task is not None else ()
        self._put_endpoints(view, task_id, after)

    def _put_endpoints(
        self, view: ClusterView, task_id: TaskId, after: tuple[Endpoint, ...]
    ) -> None:
        before = self._tasks.pop(task_id, ())
        if after:
            self._tasks[task_id] = after
        if after == before:
            return
        kept = {(each.network_id, each.node_id) for each in after}
        for each in before:
            if (each.network_id, each.node_id) not in kept:
                self._drop(f"{_NETWORK}{each.network_id}", key_of(each))
                self._leave(view, each)
        had = {(each.network_id, each.node_id) for each in before}
        for each in after:
            if (each.network_id, each.node_id) not in had:
                self._enter(view, each)
            if self._put(f"{_NETWORK}{each.network_id}", each):
                self._tell(each)

    def _enter(self, view: ClusterView, endpoint: Endpoint) -> None:
        """One more task of a node in a network."""
        network_id, node_id = endpoint.network_id, endpoint.node_id
        self._on_node.setdefault(node_id, {})[endpoint.task_id] = None
        there = self._there.setdefault(network_id, Counter())
        there[node_id] += 1
        self._networks_of.setdefault(node_id, Counter())[network_id] += 1
        is_first = there[node_id] == 1 and network_id not in self.local
        if is_first and (node := view.nodes.get(node_id)) is not None:
            self._put(f"{_NETWORK}{network_id}", _peer(node))
        self._tell(endpoint)

    def _leave(self, view: ClusterView, endpoint: Endpoint) -> None:
        """One less."""
        network_id, node_id = endpoint.network_id, endpoint.node_id
        self._tell(endpoint)
        there, networks = self._there[network_id], self._networks_of[node_id]
        there[node_id] -= 1
        networks[network_id] -= 1
        if not there[node_id]:
            del there[node_id], networks[network_id]
            self._drop(f"{_NETWORK}{network_id}", _peer_key(node_id))
        if not there:
            del self._there[network_id]
        if not networks:
            del self._networks_of[node_id]
        if all(each.node_id != node_id for each in self._tasks.get(endpoint.task_id, ())):
            self._on_node.get(node_id, {}).pop(endpoint.task_id, None)
            if not self._on_node.get(node_id, True):
                del self._on_node[node_id]

    def _tell(self, endpoint: Endpoint) -> None:
        """A task's own node hears of it, and all others in its network if it reaches them."""
        self._heard.add(endpoint.node_id)
        if endpoint.network_id not in self.local:
            self._touched.add(endpoint.network_id)

    def _put_service(self, view: ClusterView, service_id: ServiceId) -> None:
        before, was_published = self._services.pop(service_id, {}), self._is_published()
        after: dict[str, str] = {}
        service = view.services.get(service_id)
        for subject, record in _of_service(view, service) if service is not None else ():
            key = key_of(record)
            after[key] = subject
            if self._put(subject, record):
                self._tell_subject(subject)
        for key, subject in before.items():
            if key not in after:
                self._drop(subject, key)
                self._tell_subject(subject)
        if after:
            self._services[service_id] = after
        self._is_for_all |= was_published is not self._is_published()

    def _tell_subject(self, subject: str) -> None:
        if subject == PUBLISHED:
            self._is_for_all = True
        else:
            self._touched.add(NetworkId(subject.removeprefix(_NETWORK)))

    def _put_port(self, view: ClusterView) -> None:
        port, _ = data_path_ports(view)
        self._is_for_all |= port != self.data_path_port
        self.data_path_port = port

    def _put_keys(self, view: ClusterView) -> None:
        known = self._bulletin(KEYS)
        opened = {
            number: secret
            for number, sealed in sorted(view.network_keys.items())
            if (secret := self._unseal(number, sealed)) is not None
        }
        for number, secret in opened.items():
            self._put(KEYS, NetworkKey(number=number, secret=secret))
        for key in known.records.keys() - {f"key/{number}" for number in opened}:
            self._drop(KEYS, key)
        self._touched |= self._encrypted

    # -- records -------------------------------------------------------------------------

    def _bulletin(self, subject: str) -> Bulletin:
        found = self._bulletins.get(subject)
        if found is None:
            found = self._bulletins[subject] = Bulletin()
        return found

    def _put(self, subject: str, record: Record) -> bool:
        return self._bulletin(subject).put(key_of(record), record)

    def _drop(self, subject: str, key: str) -> None:
        found = self._bulletins.get(subject)
        is_gone = found is not None and found.drop(key) and not found.records
        if is_gone and subject.startswith(_NETWORK):
            del self._bulletins[subject]  # whoever follows it has it still

    def _is_published(self) -> bool:
        found = self._bulletins.get(PUBLISHED)
        return found is not None and bool(found.records)

    def check(self, view: ClusterView) -> None:
        """Assert that every subject says what the view says, and that the lists agree with it."""
        fresh = Networks.of(view, self._unseal)
        for subject in self._bulletins.keys() | fresh._bulletins.keys():
            mine = self._bulletins.get(subject, Bulletin())
            mine.check()
            assert mine.records == fresh._bulletins.get(subject, Bulletin()).records, subject
        assert self._tasks == fresh._tasks
        assert self._there == fresh._there
        assert self._networks_of == fresh._networks_of
        assert self._on_node == fresh._on_node
        assert self._services == fresh._services
        assert (self.local, self._encrypted) == (fresh.local, fresh._encrypted)
        assert self._ingress == fresh._ingress
        assert self.data_path_port == fresh.data_path_port


def _note(names: set[NetworkId], network_id: NetworkId, *, is_one: bool) -> None:
    if is_one:
        names.add(network_id)
    else:
        names.discard(network_id)


def _peer(node: Node) -> Peer:
    told = node.description
    return Peer(
        node_id=node.id,
        number=node.number,
        hostname=told.hostname,
        address=told.data_path_addr or told.addr,
        public_key=told.public_key,
    )


def _peer_key(node_id: NodeId) -> str:
    return f"peer/{node_id}"


def _endpoints(view: ClusterView, task: Task) -> Iterator[Endpoint]:
    """A task as others in its networks know it; nothing once it has ended or its node left."""
    state = view.state(task)
    if state.is_terminal or task.node_id not in view.nodes:
        return
    name, is_serving = f"{task_name(task)}.{task.id}", _is_serving(view, task, state)
    for each in task.attachments:
        if not each.addresses:  # it was connected to the network, and gets them any moment
            continue
        yield Endpoint(
            network_id=each.network_id,
            task_id=task.id,
            task_name=name,
            service_id=task.service_id,
            service_name=task.service_name,
            slot=task.slot,
            node_id=task.node_id,
            addresses=each.addresses,
            aliases=each.aliases,
            is_serving=is_serving,
        )


def _guest(guest: Guest, *, is_serving: bool) -> Endpoint:
    return Endpoint(
        network_id=guest.network_id,
        task_id=guest.id,
        task_name=guest.name,
        node_id=guest.node_id,
        addresses=guest.addresses,
        aliases=guest.aliases,
        is_serving=is_serving,
    )


def _is_serving(view: ClusterView, task: Task, state: TaskState) -> bool:
    if state is not TaskState.RUNNING or task.desired > TaskState.RUNNING:
        return False
    seen = view.observation(task)
    is_well = seen is not None and seen.health is not HealthState.UNHEALTHY
    return is_well and view.node_state(task.node_id) is not NodeState.DOWN


def _of_service(view: ClusterView, service: Service) -> Iterator[tuple[str, Record]]:
    """A service as others know it, each record with its subject.

    Its name is told in the networks of its present spec, its addresses wherever it has any.
    """
    ingress = view.ingress.id if view.ingress is not None else None
    endpoint = view.endpoints.get(service.id)
    own = (
        {each.network_id: each.addresses for each in endpoint.virtual_addresses} if endpoint else {}
    )
    aliases = networks_of_version(SpecVersion.of(service), ingress)
    has_own = service.spec.endpoint.mode is EndpointMode.VIP
    for network_id in dict.fromkeys((*aliases, *own)):
        if network_id != ingress:
            yield (
                f"{_NETWORK}{network_id}",
                VirtualService(
                    network_id=network_id,
                    service_id=service.id,
                    service_name=service.spec.name,
                    addresses=own.get(network_id, ()) if has_own else (),
                    aliases=aliases.get(network_id, ()),
                ),
            )
    ports = tuple(p for p in endpoint.ports if p.mode is PublishMode.INGRESS) if endpoint else ()
    if ports and ingress is not None:
        yield (
            PUBLISHED,
            Publication(service_id=service.id, service_name=service.spec.name, ports=ports),
        )
