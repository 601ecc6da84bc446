"""Place one task after the other with plain loops: what placing in bulk must come to."""

from collections.abc import Callable, Iterator, Mapping

from manager.scheduler.asks import EVERYWHERE, Ask
from manager.view import ClusterView
from swarm.constraints import attribute_of
from swarm.ids import NodeId
from swarm.objects import Node, Task
from swarm.specs import Affinity, Availability, Port, Strategy, TaintEffect
from swarm.states import NodeState, TaskState
from swarm.wishes import same_platform, unborne

PPM = 1_000_000


class Spot:
    """One node with what is on it."""

    def __init__(self, view: ClusterView, node: Node) -> None:
        self.node = node
        self.is_ready = view.node_state(node.id) is NodeState.READY
        self.is_believed = view.node_state(node.id) is not NodeState.DOWN
        self.cpu = self.memory = self.own = self.total = 0
        self.generic: dict[str, int] = {}
        self.ports: list[tuple[str, object, int]] = []
        self.held: dict[str, int] = {}
        self.meant: dict[str, int] = {}

    def take(self, ask: Ask, name: str, *, is_meant: bool) -> None:
        self.cpu += ask.cpu_millis
        self.memory += ask.memory_bytes
        for kind, count in ask.generic:
            self.generic[kind] = self.generic.get(kind, 0) + count
        self.ports += [(port.ip, port.protocol, port.published) for port in ask.ports]
        self.held[name] = self.held.get(name, 0) + 1
        if is_meant:
            self.total += 1
            self.meant[name] = self.meant.get(name, 0) + 1

    def has(self, attribute: str) -> str:
        return attribute_of(self.node, attribute)

    def have(self, kind: str) -> int:
        generic = {each.kind: each for each in self.node.description.resources.generic}
        found = generic.get(kind)
        return 0 if found is None else len(found.names) or found.count

    @property
    def fullness(self) -> int:
        told = self.node.description.resources
        pairs = (self.cpu, told.cpu_millis), (self.memory, told.memory_bytes)
        return sum(int(used / total * PPM) for used, total in pairs if total > 0)


class Naive:
    """A scheduler that looks at every node for every task."""

    def __init__(
        self,
        view: ClusterView,
        ask: Ask,
        asks: Mapping[str, Ask],
        *,
        failures: Mapping[NodeId, int],
        leaving: Mapping[NodeId, int],
        avoid: frozenset[NodeId],
    ) -> None:
        self.ask = ask
        self.asks = asks
        self.failures = failures
        self.avoid = avoid
        self.spots = [Spot(view, node) for _, node in sorted(view.nodes.items())]
        by_id = {spot.node.id: spot for spot in self.spots}
        for task in view.tasks.values():
            if task.node_id in by_id and view.state(task) <= TaskState.RUNNING:
                self._put(by_id[task.node_id], task)
        for spot in self.spots:
            spot.own = spot.meant.get(ask.name, 0) - leaving.get(spot.node.id, 0)
            spot.total -= leaving.get(spot.node.id, 0)
        self.sought: dict[str, str] = {}
        self.tiers: dict[NodeId, tuple[bool, int, int]] = {}

    def _put(self, spot: Spot, task: Task) -> None:
        is_meant = task.desired <= TaskState.RUNNING
        spot.take(self.asks[task.service_name], task.service_name, is_meant=is_meant)

    def place(self, wanted: int) -> Iterator[NodeId]:
        """The node of each task in turn, until there is none."""
        self._seek(wanted)
        self.tiers = {spot.node.id: self._tier(spot) for spot in self.spots}
        start = [spot for spot in self.spots if self._fits(spot)]
        for _ in range(wanted):
            fitting = [spot for spot in start if self._fits(spot)]
            if not fitting:
                return
            tier = min(self.tiers[spot.node.id] for spot in fitting)
            chosen = self._descend(
                [spot for spot in fitting if self.tiers[spot.node.id] == tier],
                [spot for spot in start if self.tiers[spot.node.id] == tier],
            )
            chosen.take(self.ask, self.ask.name, is_meant=True)
            chosen.own += 1
            yield chosen.node.id

    def _seek(self, wanted: int) -> None:
        """A service that wants to be near itself chooses its place once."""
        wishes = [w for w in self.ask.affinities if w.service == self.ask.name and not w.anti]
        wishes.sort(key=lambda wish: not wish.required)
        wishes = [w for w in wishes if not any(self._near(s, w, "meant") for s in self.spots)]
        self.sought = {w.topology: "" for w in wishes}
        for wish in wishes:
            places: dict[str, int] = {}
            for spot in self.spots:
                room = self._room(spot, wanted)
                place = spot.has(wish.topology)
                if place and room and self._in_sought(spot):
                    places[place] = places.get(place, 0) + room
            best = max(places, key=lambda p: min(places[p], wanted), default="")
            self.sought[wish.topology] = best or "?"

    def _in_sought(self, spot: Spot) -> bool:
        """Whether it is where the required wishes decided so far want to be."""
        required = {
            w.topology
            for w in self.ask.affinities
            if w.required and not w.anti and w.service == self.ask.name
        }
        return all(
            spot.has(topology) == place
            for topology, place in self.sought.items()
            if place and topology in required
        )

    def _room(self, spot: Spot, wanted: int) -> int:
        """How many of `wanted` would fit side by side."""
        if not self._fits(spot):
            return 0
        ask, told = self.ask, spot.node.description.resources
        limits = [wanted]
        if ask.cpu_millis:
            limits.append((told.cpu_millis - spot.cpu) // ask.cpu_millis)
        if ask.memory_bytes:
            limits.append((told.memory_bytes - spot.memory) // ask.memory_bytes)
        for kind, count in ask.generic:
            limits.append((spot.have(kind) - spot.generic.get(kind, 0)) // count)
        if ask.max_per_node:
            limits.append(ask.max_per_node - spot.own)
        alone = any(w.topology == "node.id" and w.service == ask.name for w in ask.keeps_away)
        return min([*limits, 1] if alone or ask.ports else limits)

    # -- filters -------------------------------------------------------------------------

    def _fits(self, spot: Spot) -> bool:
        ask, node, told = self.ask, spot.node, spot.node.description
        hard = TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE
        return (
            spot.is_ready
            and node.spec.availability is Availability.ACTIVE
            and node.id not in self.avoid
            and (
                not ask.platforms
                or any(same_platform(p, os=told.os, arch=told.arch) for p in ask.platforms)
            )
            and all(constraint.admits(node) for constraint in ask.constraints)
            and not unborne(ask.tolerations, node.spec.taints, *hard)
            and all(self._is_met(spot, w) for w in ask.affinities if w.required)
            and not self._is_shunned(spot)
            and not any(self._clashes(spot, port) for port in ask.ports)
            and (not ask.cpu_millis or told.resources.cpu_millis - spot.cpu >= ask.cpu_millis)
            and (
                not ask.memory_bytes
                or told.resources.memory_bytes - spot.memory >= ask.memory_bytes
            )
            and all(
                spot.have(kind) - spot.generic.get(kind, 0) >= count for kind, count in ask.generic
            )
            and not 0 < ask.max_per_node <= spot.own
        )

    def _clashes(self, spot: Spot, port: Port) -> bool:
        return any(
            (protocol, published) == (port.protocol, port.published)
            and (port.ip == ip or port.ip in EVERYWHERE or ip in EVERYWHERE)
            for ip, protocol, published in spot.ports
        )

    def _near(self, spot: Spot, wish: Affinity, which: str) -> bool:
        if wish.topology == "node.id":
            return bool(getattr(spot, which).get(wish.service))
        place = spot.has(wish.topology)
        return bool(place) and any(
            other.is_believed
            and other.has(wish.topology) == place
            and getattr(other, which).get(wish.service)
            for other in self.spots
        )

    def _is_met(self, spot: Spot, wish: Affinity) -> bool:
        if wish.anti:
            return not self._near(spot, wish, "held")
        if wish.service == self.ask.name and self.sought.get(wish.topology):
            return spot.has(wish.topology) == self.sought[wish.topology]
        if wish.service == self.ask.name and wish.topology in self.sought:
            return True
        return self._near(spot, wish, "meant")

    def _is_shunned(self, spot: Spot) -> bool:
        for name, ask in self.asks.items():
            if name == self.ask.name:
                continue
            for wish in ask.keeps_away:
                here = Affinity(service=name, topology=wish.topology)
                if wish.service == self.ask.name and self._near(spot, here, "held"):
                    return True
        return False

    # -- rank ----------------------------------------------------------------------------

    def _tier(self, spot: Spot) -> tuple[bool, int, int]:
        soft = unborne(self.ask.tolerations, spot.node.spec.taints, TaintEffect.PREFER_NO_SCHEDULE)
        unmet = sum(
            not self._is_met(spot, w)
            for w in self.ask.affinities
            if not w.required and not (w.anti and w.service == self.ask.name)
        )
        return self.failures.get(spot.node.id, 0) >= 5, len(soft), unmet

    def _descend(self, fitting: list[Spot], start: list[Spot]) -> Spot:
        soft = (
            w.topology
            for w in self.ask.affinities
            if w.anti and not w.required and w.service == self.ask.name
        )
        path: list[tuple[str, str]] = []
        for attribute in dict.fromkeys((*self.ask.preferences, *soft)):
            branches = dict.fromkeys(spot.has(attribute) for spot in fitting)
            best = min(branches, key=self._branch(path, attribute, start))
            path.append((attribute, best))
            fitting = [spot for spot in fitting if spot.has(attribute) == best]
            start = [spot for spot in start if spot.has(attribute) == best]
        return min(fitting, key=self._leaf)

    def _branch(
        self, path: list[tuple[str, str]], attribute: str, start: list[Spot]
    ) -> Callable[[str], tuple[int, int, str]]:
        def key(value: str) -> tuple[int, int, str]:
            within = [
                spot
                for spot in self.spots
                if spot.is_believed
                and all(spot.has(a) == v for a, v in (*path, (attribute, value)))
            ]
            first = min(spot.node.id for spot in start if spot.has(attribute) == value)
            return sum(spot.own for spot in within), sum(spot.total for spot in within), first

        return key

    def _leaf(self, spot: Spot) -> tuple[int, int, str]:
        if self.ask.strategy is Strategy.BINPACK:
            return -spot.fullness, -spot.total, spot.node.id
        return spot.own, spot.total, spot.node.id
