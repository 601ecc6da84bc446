"""Give tasks and services their addresses, each to one of them at a time.

What is held is what the view says is held, followed change by change: by a task from when it has
its node until it is observed to have ended, is removed, or its node has left the swarm, whatever
is wanted of it, and by a service as long as its endpoint says so. What a plan was given and
nobody holds when the next plan begins is free again: by then it is known what became of the plan.

A task gets an address of each family in each of its networks, or none at all and waits. A guest
(`manager.networks.guests`) holds what it was given until its key is gone, or its node.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from manager.applied import Applied
from manager.decoding import GuestKey
from manager.view import ClusterView
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Attachment, Network, Task, VirtualAddress
from swarm.ranges import Range

PLENTY = 1 << 62
_GUEST = "container "


class Shortage(Struct, frozen=True):
    """Why somebody does not get what it needs to be in its networks."""

    reason: str


class _Held(Struct, frozen=True, gc=False):
    """What a task or a service has in its networks, and what that service is called."""

    name: str
    addresses: tuple[tuple[NetworkId, tuple[str, ...]], ...]


class _Pool:
    """One network's addresses, and how many of them each service has, by name.

    `promised` are those that the present plan was given.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ranges = [Range(each) for each in network.subnets]
        self.by_service: Counter[str] = Counter()
        self.promised: Counter[str] = Counter()

    def hold(self, name: str, addresses: Iterable[str]) -> None:
        for found, address in self.numbers(addresses):
            found.hold(address)
        self.by_service[name] += 1

    def release(self, name: str, addresses: Iterable[str]) -> None:
        for found, address in self.numbers(addresses):
            found.release(address)
        self.by_service[name] -= 1
        if not self.by_service[name]:
            del self.by_service[name]

    def shortage(self) -> Shortage | None:
        """Why there is nothing to give; None when there is."""
        full = next((each for each in self.ranges if each.left <= 0), None)
        return None if full is None else self.without(full)

    def scarcest(self) -> tuple[int, Shortage]:
        """How many more can be given, and what to say to those beyond."""
        least = min(self.ranges, key=lambda each: each.left)
        return least.left, self.without(least)

    def without(self, full: Range) -> Shortage:
        told = f"network {self.network.spec.name} ({full.subnet.ip_range or full.subnet.subnet})"
        used, counts = f"{full.size} in use", self.by_service + self.promised
        if counts:
            name, count = min(counts.items(), key=lambda each: (-each[1], each[0]))
            used += f", {count} by {name if name.startswith(_GUEST) else f'service {name}'}"
        return Shortage(f"{told} has no free address: {used}")

    def give(self, name: str, given: list[tuple[Range, int]]) -> tuple[str, ...] | Shortage:
        """An address of each family for a service of this name; each is noted in `given`."""
        found: list[str] = []
        for each in self.ranges:
            address = each.give()
            if address is None:
                return self.without(each)
            given.append((each, address))
            found.append(each.text(address))
        self.promised[name] += 1
        return tuple(found)

    def refusal(self, wanted: Iterable[str]) -> Shortage | None:
        """Why somebody cannot have just these; None when he can."""
        name = self.network.spec.name
        for text in wanted:
            found = [each for each in self.ranges if each.may_be(text)]
            if not found:
                return Shortage(f"address {text} is not in a subnet of network {name}")
            number = found[0].number(text)
            if number in found[0].held or not found[0].is_anybodys(text):
                return Shortage(f"address {text} of network {name} is in use")
        return None

    def copied(self) -> "_Pool":
        copy = _Pool(self.network)
        copy.ranges = [each.copied() for each in self.ranges]
        copy.by_service = Counter(self.by_service)
        return copy

    def numbers(self, addresses: Iterable[str]) -> Iterator[tuple[Range, int]]:
        """The addresses, each with the range that it is of."""
        for text in addresses:
            for each in self.ranges:
                if (address := each.number(text)) is not None:
                    yield each, address


class Addresses:
    """All that can be given. Leave no `Applied` out, and `begin` before each plan."""

    def __init__(self) -> None:
        self._pools: dict[NetworkId, _Pool] = {}
        self._tasks: dict[TaskId, _Held] = {}
        self._services: dict[ServiceId, _Held] = {}
        self._guests: dict[GuestKey, _Held] = {}
        self._given: list[tuple[Range, int]] = []

    @classmethod
    def of(cls, view: ClusterView) -> "Addresses":
        """Take in a whole view; after that, `sync` keeps in step with it."""
        found = cls()
        found._pools = {each.id: _Pool(each) for each in view.networks.values()}
        newest: dict[Range, tuple[float, int]] = {}
        for task in view.tasks.values():
            if task.attachments:
                found._put_task(view, task)
                for each, address in found._numbers(_of_task(task)):
                    newest[each] = max(newest.get(each, (0.0, 0)), (task.created_at, address))
        for each, (_, address) in newest.items():
            each.begin_after(address)
        for service_id in view.endpoints:
            found._put_service(view, service_id)
        for key in view.guests:
            found._put_guest(view, key)
        return found

    def sync(self, view: ClusterView, applied: Applied) -> None:
        """Follow what `applied` did to the view."""
        for network_id in applied.networks:
            self._put_network(view, network_id)
        for node_id in applied.peers:
            for task in view.tasks_on(node_id).values():
                if task.attachments:
                    self._put_task(view, task)
            for key in view.guests_on(node_id):
                self._put_guest(view, key)
        for key in sorted(applied.guests):
            self._put_guest(view, key)
        for task_id in applied.tasks:
            known = view.tasks.get(task_id)
            if known is not None and known.attachments:
                self._put_task(view, known)
            elif task_id in self._tasks:
                self._release(self._tasks.pop(task_id))
        for service_id in applied.endpoints:
            self._put_service(view, service_id)

    def copied(self, networks: Iterable[NetworkId], tasks: Iterable[TaskId]) -> "Addresses":
        """Another one, of these networks. It knows what `tasks` hold: sync no others."""
        copy = Addresses()
        copy._pools = {each: self._pools[each].copied() for each in networks if each in self._pools}
        for task_id in tasks if copy._pools else ():
            if (held := self._tasks.get(task_id)) is not None:
                copy._tasks[task_id] = copy._within(held)
        for service_id, held in self._services.items() if copy._pools else ():
            copy._services[service_id] = copy._within(held)
        for key, held in self._guests.items() if copy._pools else ():
            copy._guests[key] = copy._within(held)
        return copy

    # -- giving --------------------------------------------------------------------------

    def begin(self) -> None:
        """A plan begins: what the last one was given and did not use is free again."""
        for each, address in self._given:
            each.give_back(address)
        if self._given:
            self._given.clear()
            for pool in self._pools.values():
                pool.promised.clear()

    def shortage(self, networks: Iterable[NetworkId]) -> Shortage | None:
        """Why nobody can be attached to all of these; None when there is nothing in the way."""
        for network_id in networks:
            pool = self._pools.get(network_id)
            if pool is None:
                return Shortage(f"network {network_id} does not exist any more")
            if (short := pool.shortage()) is not None:
                return short
        return None

    def room(self, networks: Iterable[NetworkId]) -> tuple[int, Shortage | None]:
        """For how many tasks in all of these there are addresses, and why not for more."""
        if (short := self.shortage(networks)) is not None:
            return 0, short
        found = [self._pools[each].scarcest() for each in networks]
        return min(found, key=lambda each: each[0]) if found else (PLENTY, None)

    def attach(
        self, networks: Mapping[NetworkId, tuple[str, ...]], name: str
    ) -> tuple[Attachment, ...] | Shortage:
        """Addresses for one task of a service, of this name, in networks with its aliases."""
        if (short := self.shortage(networks)) is not None:
            return short
        found: list[Attachment] = []
        mark = len(self._given)
        for network_id, aliases in networks.items():
            addresses = self._pools[network_id].give(name, self._given)
            if isinstance(addresses, Shortage):
                self._take_back(mark)
                return addresses
            found.append(Attachment(network_id=network_id, addresses=addresses, aliases=aliases))
        return tuple(found)

    def virtual(self, network_id: NetworkId, name: str) -> VirtualAddress | Shortage:
        """Addresses of a service's own in a network."""
        found = self.attach({network_id: ()}, name)
        if isinstance(found, Shortage):
            return found
        return VirtualAddress(network_id=network_id, addresses=found[0].addresses)

    def admit(
        self, network_id: NetworkId, name: str, wanted: Iterable[str]
    ) -> tuple[str, ...] | Shortage:
        """Addresses for one guest: those that are `wanted`, and others of other families."""
        pool = self._pools.get(network_id)
        if pool is None:
            return Shortage(f"network {network_id} does not exist any more")
        asked = tuple(wanted)
        if (refusal := pool.refusal(asked)) is not None:
            return refusal
        mark, found = len(self._given), list[str]()
        for each in pool.ranges:
            number = next((n for text in asked if (n := each.number(text)) is not None), None)
            if number is None and (number := each.give()) is None:
                self._take_back(mark)
                return pool.without(each)
            if number in each.held:  # it was given to somebody in this very plan
                self._take_back(mark)
                return pool.without(each)
            self._given.append((each, number))
            found.append(each.text(number))
        pool.promised[f"{_GUEST}{name}"] += 1
        return tuple(found)

    def _take_back(self, mark: int) -> None:
        for each, address in self._given[mark:]:
            each.give_back(address)
        del self._given[mark:]

    # -- following the view --------------------------------------------------------------

    def _put_task(self, view: ClusterView, task: Task) -> None:
        known = self._tasks.get(task.id)
        if view.state(task).is_terminal or task.node_id not in view.nodes:
            if known is not None:
                self._release(self._tasks.pop(task.id))
        elif known is None:
            self._tasks[task.id] = self._hold(_of_task(task))
        elif known.addresses != _of_task(task).addresses:
            self._release(known)
            self._tasks[task.id] = self._hold(_of_task(task))

    def _put_guest(self, view: ClusterView, key: GuestKey) -> None:
        guest, known = view.guests.get(key), self._guests.pop(key, None)
        if guest is not None and guest.addresses and guest.node_id in view.nodes:
            held = _Held(f"{_GUEST}{guest.name}", ((guest.network_id, guest.addresses),))
            self._guests[key] = self._hold(held)
        if known is not None:
            self._release(known)

    def _put_service(self, view: ClusterView, service_id: ServiceId) -> None:
        endpoint, service = view.endpoints.get(service_id), view.services.get(service_id)
        known = self._services.pop(service_id, None)
        if endpoint is not None and endpoint.virtual_addresses:
            name = known.name if known is not None and service is None else service_id
            name = service.spec.name if service is not None else name
            own = tuple((each.network_id, each.addresses) for each in endpoint.virtual_addresses)
            self._services[service_id] = self._hold(_Held(name, own))
        if known is not None:
            self._release(known)

    def _put_network(self, view: ClusterView, network_id: NetworkId) -> None:
        network, pool = view.networks.get(network_id), self._pools.get(network_id)
        if network is None:
            self._pools.pop(network_id, None)
        elif pool is not None and pool.network.subnets == network.subnets:
            pool.network = network
        else:
            pool = self._pools[network_id] = _Pool(network)
            for held in self._all_held():
                for each, addresses in held.addresses:
                    if each == network_id:
                        pool.hold(held.name, addresses)

    def _all_held(self) -> Iterator[_Held]:
        yield from self._tasks.values()
        yield from self._services.values()
        yield from self._guests.values()

    def _hold(self, held: _Held) -> _Held:
        for network_id, addresses in held.addresses:
            if (pool := self._pools.get(network_id)) is not None:
                pool.hold(held.name, addresses)
        return held

    def _release(self, held: _Held) -> None:
        for network_id, addresses in held.addresses:
            if (pool := self._pools.get(network_id)) is not None:
                pool.release(held.name, addresses)

    def _within(self, held: _Held) -> _Held:
        """Of what is held, that in our networks."""
        return _Held(held.name, tuple(each for each in held.addresses if each[0] in self._pools))

    def _numbers(self, held: _Held) -> Iterator[tuple[Range, int]]:
        for network_id, addresses in held.addresses:
            if (pool := self._pools.get(network_id)) is not None:
                yield from pool.numbers(addresses)

    def check(self, view: ClusterView) -> None:
        """Assert that what is held is what the view says, and that none of it can be given."""
        fresh = Addresses.of(view)
        assert self._tasks == fresh._tasks
        assert self._services.keys() == fresh._services.keys()
        assert self._guests == fresh._guests
        assert self._pools.keys() == fresh._pools.keys()
        for network_id, pool in self._pools.items():
            assert sum(pool.by_service.values()) == sum(
                each == network_id for held in self._all_held() for each, _ in held.addresses
            )
            for mine, its in zip(pool.ranges, fresh._pools[network_id].ranges, strict=True):
                mine.check(address for address, n in its.held.items() for _ in range(n))


def _of_task(task: Task) -> _Held:
    own = tuple((each.network_id, each.addresses) for each in task.attachments if each.addresses)
    return _Held(task.service_name or task.service_id, own)
