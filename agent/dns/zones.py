"""Keep the names of one network, and who owns them.

Many tasks may own a name together (`tasks.web`, a slot during a rollout), so owners are counted.
Containers that are no tasks have names, too; where a service has one of these, it is the service's.
A name of a service stands for its virtual addresses, or for its tasks that serve where it has
none; a task that bears a name of its service, as an alias, leaves it to the service.
"""

from collections.abc import Container, Iterable, Iterator
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import TypeVar

from swarm.ids import ServiceId, TaskId
from swarm.objects import Network
from swarm.topology import Endpoint, VirtualService

_SHORT_ID = 12
_K = TypeVar("_K")
_L = TypeVar("_L")
_V = TypeVar("_V")


class Part(Enum):
    """What of its owner a name stands for."""

    SERVICE = 0
    TASKS = 1
    TASK = 2


Owner = tuple[Part, str]


class Zone:
    """One network. All names in it are in lower case."""

    def __init__(self) -> None:
        self.network: Network | None = None
        self.name = ""
        self.names: dict[str, dict[Owner, int]] = {}
        self.services: dict[ServiceId, VirtualService] = {}
        self.endpoints: dict[TaskId, Endpoint] = {}
        self.serving: dict[ServiceId, dict[TaskId, Endpoint]] = {}
        self.reverse: dict[str, dict[str, str]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no record is left of it."""
        return self.network is None and not self.services and not self.endpoints

    @property
    def is_way_in(self) -> bool:
        """Whether it carries published ports, and names nobody."""
        return self.network is not None and self.network.spec.ingress

    def put(self, record: VirtualService | Endpoint) -> set[str]:
        """Add a record that is not there; returns the names that may stand for more now."""
        match record:
            case VirtualService():
                self.services[record.service_id] = record
            case Endpoint():
                self.endpoints[record.task_id] = record
                if record.is_serving:
                    self.serving.setdefault(record.service_id, {})[record.task_id] = record
        for name, owner in _names(record):
            owners = self.names.setdefault(name, {})
            owners[owner] = owners.get(owner, 0) + 1
        owner_id, called = _called(record)
        for each in record.addresses if called else ():
            self.reverse.setdefault(str(ip_address(each)), {})[owner_id] = called
        return self._changed(record)

    def remove(self, record: VirtualService | Endpoint) -> set[str]:
        """Remove a record that is there; returns the names that may stand for less now."""
        changed = self._changed(record)
        for name, owner in _names(record):
            owners = self.names[name]
            owners[owner] -= 1
            if not owners[owner]:
                del owners[owner]
            if not owners:
                del self.names[name]
        owner_id, _ = _called(record)
        for each in record.addresses:
            _take_out(self.reverse, str(ip_address(each)), owner_id)
        match record:
            case VirtualService():
                del self.services[record.service_id]
            case Endpoint():
                del self.endpoints[record.task_id]
                _take_out(self.serving, record.service_id, record.task_id)
        return changed

    def owners(self, name: str) -> list[Owner]:
        """Who has a name: a service before its tasks, and before containers that have none."""
        found = self.names.get(name, {})
        has_service = any(part is Part.SERVICE for part, _ in found)
        return [
            (part, owner)
            for part, owner in found
            if part is not Part.TASK or not (has_service and self._yields(owner, found))
        ]

    def values(self, owner: Owner) -> tuple[str, ...]:
        """The addresses that an owner's name stands for in this network."""
        part, name = owner
        if part is Part.TASK:
            endpoint = self.endpoints.get(TaskId(name))
            return endpoint.addresses if endpoint is not None and endpoint.is_serving else ()
        service_id = ServiceId(name)
        if self.is_virtual(owner):
            return self.services[service_id].addresses
        serving = self.serving.get(service_id, {})
        return tuple(address for each in serving.values() for address in each.addresses)

    def is_virtual(self, owner: Owner) -> bool:
        """Whether it stands for addresses that are the service's own."""
        part, name = owner
        service = self.services.get(ServiceId(name)) if part is Part.SERVICE else None
        return service is not None and bool(service.addresses)

    def holds(self, address: str) -> bool:
        """Whether an address is one that this network may give out."""
        subnets = self.network.subnets if self.network is not None else ()
        parsed = ip_address(address)
        return any(parsed in ip_network(each.subnet, strict=False) for each in subnets)

    def _changed(self, record: VirtualService | Endpoint) -> set[str]:
        """The names of a record, and of the service that its task answers for."""
        changed = {name for name, _ in _names(record)}
        if (service := self.services.get(record.service_id)) is not None:
            changed |= {name for name, _ in _names(service)}
        return changed

    def _yields(self, task_id: str, owners: Container[Owner]) -> bool:
        service_id = self._service_of(task_id)
        return not service_id or (Part.SERVICE, service_id) in owners

    def _service_of(self, task_id: str) -> str:
        endpoint = self.endpoints.get(TaskId(task_id))
        return endpoint.service_id if endpoint is not None else ""


def unique_names(endpoint: Endpoint) -> frozenset[str]:
    """What no other task is called."""
    named = (endpoint.task_name, endpoint.task_id, endpoint.task_id[:_SHORT_ID])
    return frozenset(each.lower() for each in named if each)


def _names(record: VirtualService | Endpoint) -> Iterator[tuple[str, Owner]]:
    match record:
        case VirtualService():
            for each in _lower({record.service_name, *record.aliases}):
                yield each, (Part.SERVICE, record.service_id)
        case Endpoint():
            for each in _lower({*unique_names(record), _place(record), *record.aliases}):
                yield each, (Part.TASK, record.task_id)
            if record.service_name:
                yield record.service_name.lower(), (Part.SERVICE, record.service_id)
    if record.service_name:
        yield f"tasks.{record.service_name}".lower(), (Part.TASKS, record.service_id)


def _lower(names: Iterable[str]) -> set[str]:
    return {each.lower() for each in names if each}


def _called(record: VirtualService | Endpoint) -> tuple[str, str]:
    """Whose the addresses are, and how they are called."""
    match record:
        case VirtualService():
            return record.service_id, record.service_name.lower()
        case Endpoint():
            return record.task_id, record.task_name.lower()


def _place(endpoint: Endpoint) -> str:
    """The name of a task without its id: whatever runs in that slot or on that node."""
    name, ending = endpoint.task_name, f".{endpoint.task_id}"
    return name.removesuffix(ending) if name.endswith(ending) else ""


def _take_out(outer: dict[_K, dict[_L, _V]], key: _K, inner: _L) -> None:
    if (found := outer.get(key)) is not None:
        found.pop(inner, None)
        if not found:
            del outer[key]
