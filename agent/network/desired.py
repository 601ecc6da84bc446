"""Hold what one network's router shall hold, and answer every change with its own operations.

Values are kept by their owner, which is a record or an attachment: to change one is to compare
its values with those it had, however many others there are. A peer is there while endpoints are
on it (in the ingress network: while it is known), and a service's slots are shared out once per
batch of changes. What packets might need is put before what led them elsewhere is removed.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from agent.network.balances import Balance, balance, change, elements
from agent.network.kernel import (
    Address,
    Element,
    Forward,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    Rule,
    Table,
    Value,
    identity,
)
from agent.network.router import (
    Attached,
    Site,
    Vtep,
    of_attachment,
    of_peer,
    of_remote,
    of_site,
)
from agent.network.skeleton import RULES, WAY_OUT
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.topology import Endpoint, Peer, Record, VirtualService

Owner = tuple[str, str]
_SITE: Owner = ("site", "")


class Desired:
    """One network on this node, which is `node_id`."""

    def __init__(self, site: Site, node_id: NodeId, vtep: Vtep) -> None:
        self.site = site
        self.attached: dict[TaskId, Attached] = {}
        self._node_id = node_id
        self._vtep = vtep
        self._values: dict[Owner, tuple[Value, ...]] = {_SITE: tuple(of_site(site))}
        self._peers: dict[NodeId, Peer] = {}
        self._endpoints: dict[TaskId, Endpoint] = {}
        self._by_node: dict[NodeId, set[TaskId]] = {}
        self._by_service: dict[ServiceId, dict[TaskId, Endpoint]] = {}
        self._services: dict[ServiceId, VirtualService] = {}
        self._balances: dict[ServiceId, Balance] = {}

    @property
    def has_marks(self) -> bool:
        """Whether answers have to find the node where their connection came in."""
        return self.site.has_tunnel and self.site.network.spec.ingress

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that the rules make."""
        return (RULES, WAY_OUT) if self.has_marks else (RULES,)

    def values(self) -> Iterator[Value]:
        """Everything but the rules."""
        for values in self._values.values():
            yield from values
        for each in self._balances.values():
            yield from elements(each)

    def place(self, site: Site) -> None:
        """Take part in the network in another way, such as from another address.

        So much changes with it that it is compared with the kernel as a whole.
        """
        self.site = site
        self._own(_SITE, of_site(site))
        for node_id, peer in self._peers.items():
            self._own(("peer", node_id), self._of_peer(peer))
        for task_id, each in self.attached.items():
            values = of_attachment(site, task_id, each)
            self._own(("attachment", task_id), values)

    def attach(self, task_id: TaskId, attached: Attached) -> list[Operation]:
        """A container comes in."""
        self.attached[task_id] = attached
        values = of_attachment(self.site, task_id, attached)
        return ordered(self._own(("attachment", task_id), values))

    def detach(self, task_id: TaskId) -> list[Operation]:
        """It is gone; content when it never was there."""
        self.attached.pop(task_id, None)
        return ordered(self._own(("attachment", task_id), ()))

    def take(self, put: Iterable[Record] = (), gone: Iterable[Record] = ()) -> list[Operation]:
        """Follow the records of peers, and of this network's services and endpoints."""
        nodes = dict[NodeId, None]()
        tasks = dict[TaskId, None]()
        services = dict[ServiceId, None]()
        for records, note in ((gone, self._forget), (put, self._learn)):
            for record in records:
                match record:
                    case Peer():
                        nodes[record.node_id] = None
                        tasks.update(dict.fromkeys(self._by_node.get(record.node_id, ())))
                    case Endpoint() if self._is_here(record):
                        nodes[record.node_id] = tasks[record.task_id] = None
                        services[record.service_id] = None
                    case VirtualService():
                        services[record.service_id] = None
                    case _:
                        continue
                note(record)
        operations = [
            *(each for node_id in nodes for each in self._settle_peer(node_id)),
            *(each for task_id in tasks for each in self._settle_endpoint(task_id)),
            *(each for service_id in services for each in self._settle_service(service_id)),
        ]
        return ordered(operations)

    def _is_here(self, endpoint: Endpoint) -> bool:
        """A bridge is a network of its own on every node."""
        return self.site.has_tunnel or endpoint.node_id == self._node_id

    def _learn(self, record: Record) -> None:
        match record:
            case Peer():
                self._peers[record.node_id] = record
            case Endpoint():
                if old := self._endpoints.get(record.task_id):
                    self._forget(old)
                self._endpoints[record.task_id] = record
                self._by_node.setdefault(record.node_id, set()).add(record.task_id)
                self._by_service.setdefault(record.service_id, {})[record.task_id] = record
            case VirtualService():
                self._services[record.service_id] = record
            case _:
                pass

    def _forget(self, record: Record) -> None:
        match record:
            case Peer():
                self._peers.pop(record.node_id, None)
            case Endpoint(task_id=task_id):
                self._endpoints.pop(task_id, None)
                self._by_service.get(record.service_id, {}).pop(task_id, None)
                on_node = self._by_node.get(record.node_id, set())
                on_node.discard(task_id)
                if not on_node:
                    self._by_node.pop(record.node_id, None)
            case VirtualService():
                self._services.pop(record.service_id, None)
            case _:
                pass

    def _settle_peer(self, node_id: NodeId) -> Iterator[Operation]:
        peer = self._peers.get(node_id)
        return self._own(("peer", node_id), self._of_peer(peer) if peer else ())

    def _of_peer(self, peer: Peer) -> Iterable[Value]:
        is_met = peer.node_id in self._by_node or self.site.network.spec.ingress
        if peer.node_id == self._node_id or not self.site.has_tunnel or not is_met:
            return ()
        # A node that has only just joined has not said yet where it is.
        vtep = self._vtep(peer)
        return of_peer(self.site, peer, vtep) if vtep else ()

    def _settle_endpoint(self, task_id: TaskId) -> Iterator[Operation]:
        endpoint = self._endpoints.get(task_id)
        peer = self._peers.get(endpoint.node_id) if endpoint else None
        if endpoint and peer and endpoint.node_id != self._node_id:
            return self._own(("endpoint", task_id), of_remote(endpoint, peer.number))
        return self._own(("endpoint", task_id), ())

    def _settle_service(self, service_id: ServiceId) -> Iterator[Operation]:
        service, before = self._services.get(service_id), self._balances.pop(service_id, None)
        after = None
        if service and service.addresses:
            after = balance(service.addresses, self._by_service.get(service_id, {}))
            self._balances[service_id] = after
        return change(before, after)

    def _own(self, owner: Owner, values: Iterable[Value]) -> Iterator[Operation]:
        """Let `owner` have these values and no others."""
        before = {identity(each): each for each in self._values.pop(owner, ())}
        if after := tuple(values):
            self._values[owner] = after
        return _difference(before, after)


def _difference(
    before: dict[tuple[object, ...], Value], after: tuple[Value, ...]
) -> Iterator[Operation]:
    for value in after:
        if before.pop(identity(value), None) != value:
            yield Put(value)
    yield from map(Remove, before.values())


def ordered(operations: Iterable[Operation]) -> list[Operation]:
    """Links before what hangs on them, and what is new before what it replaces goes.

    Elements stay together: they are one transaction, in the order in which they came.
    """
    return sorted(operations, key=_rank)


_RANKS: Final[dict[type, int]] = {
    Address: 1,
    Neighbour: 2,
    Forward: 3,
    Route: 4,
    Rule: 5,
    Table: 6,
    Element: 6,
}


def _rank(operation: Operation) -> int:
    rank = _RANKS.get(type(operation.value), 0)
    return 12 - rank if isinstance(operation, Remove) else rank
