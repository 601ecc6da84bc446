"""Keep the networks of this node alone: those it has by itself, and those that were made on it.

Each that was made is a file, written whole before anybody hears of it, so that it is there after a
restart of the agent or the host. `bridge`, `host` and `none` are there from the start, and have
ids that stay, too. Who has which address is known from the containers that run, and kept nowhere
else.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from random import Random
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.standalone import networks as making
from agent.standalone.addresses import Addresses
from agent.standalone.memberships import DEFAULT
from agent.standalone.networks import Taken
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, HOST, NONE, NetworkDriver, NetworkSpec
from swarm.standalone import ContainerNetwork

_BUILT_IN: Final = "built-in"
_SHORT: Final = 12


class BuiltIn(Struct, frozen=True, kw_only=True):
    """The ids that the networks of every node have on this one, and since when they are there."""

    bridge: NetworkId
    host: NetworkId
    none: NetworkId
    at: float


class Bridge(Protocol):
    """The node's own bridge."""

    def network(self) -> Network:
        """The network, with the subnet that was chosen for this node."""
        ...

    def lend(self, task_id: TaskId) -> Attachment:
        """The task's address: the same one until it is given back."""
        ...


class Place(Struct, frozen=True, kw_only=True):
    """One of this node's networks: `id` is what its users know it by, `driver` what they call it.

    `network` is what packets go by, and has another id where the network is every node's.
    """

    id: NetworkId
    driver: str
    network: Network

    @property
    def name(self) -> str:
        """What people call it."""
        return self.network.spec.name

    @property
    def has_names(self) -> bool:
        """Whether containers have names in it: not in what every node has by itself."""
        return self.id == self.network.id

    @property
    def has_addresses(self) -> bool:
        """Whether there is anything to be connected to."""
        return bool(self.network.subnets)


def load(directory: Path, log: structlog.stdlib.BoundLogger) -> list[Network]:
    """Find what was made; what cannot be read is told of, and left alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found: list[Network] = []
    for path in sorted(directory.glob("[!.]*.json")):
        if path.stem != _BUILT_IN:
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Network))
            except (OSError, msgspec.DecodeError) as err:
                log.error("network.not_read", path=str(path), reason=str(err))
    return found


class LocalNetworks:
    """The networks of this node. `made` are those that somebody made, kept in `directory`.

    `others` gives the addresses that anybody else has, and `swarm` those of the swarm's networks
    that managers have told of. With `mtu` go packets of networks for which no size was chosen.
    """

    def __init__(
        self,
        directory: Path,
        made: Iterable[Network],
        *,
        bridge: Bridge,
        mtu: int,
        others: Callable[[], Iterable[Taken]],
        swarm: Callable[[], Iterable[Network]],
        random: Random,
    ) -> None:
        self._directory = directory
        self._bridge = bridge
        self._mtu = mtu
        self._others = others
        self._swarm = swarm
        self._random = random
        self._made: dict[NetworkId, Network] = {}
        self._addresses: dict[NetworkId, Addresses] = {}
        self._built_in: BuiltIn | None = None
        self._turn = asyncio.Lock()
        for each in made:
            self._take(each)

    def records(self) -> tuple[Network, ...]:
        """Those that were made, as packets go by them."""
        return tuple(map(self._routed, self._made.values()))

    def taken(self) -> tuple[Taken, ...]:
        """The addresses that these networks have."""
        return tuple(
            Taken(prefix=subnet.subnet, whose=f"network {each.spec.name}")
            for each in (self._bridge.network(), *self._made.values())
            for subnet in each.subnets
        )

    # --- finding --------------------------------------------------------------------------------

    def all(self) -> list[Place]:
        """All networks, the oldest first."""
        made = sorted(self._made.values(), key=lambda each: (each.created_at, each.id))
        return [*map(self._place_of, (BRIDGE, HOST, NONE)), *map(_made, made)]

    def find(self, text: str) -> Place:
        """The network that an id, a name, or the beginning of an id means; else `Missing`.

        Those of this node come first; of the swarm's only those are found that are known here.
        """
        name = BRIDGE if text == DEFAULT else text
        places = self.all()
        by_id = {str(each.id): each for each in places}
        for known in (by_id, {each.name: each for each in places}):
            if name in known:
                return known[name]
        found = [each for each in places if name and each.id.startswith(name)]
        if len(found) > 1:
            raise Invalid(
                f"network {text} is ambiguous ({len(found)} matches found based on ID prefix)"
            )
        if not found:
            found = [_made(each) for each in self._swarm() if text in (each.id, each.spec.name)]
        if not found:
            raise Missing(f"network {text} not found")
        return found[0]

    def of(self, network_id: NetworkId) -> Place | None:
        """The network that packets go by under this id."""
        if network_id in (BRIDGE, HOST, NONE):
            return self._place_of(network_id)
        if (network := self._made.get(network_id)) is not None:
            return _made(network)
        return next((_made(each) for each in self._swarm() if each.id == network_id), None)

    # --- making ---------------------------------------------------------------------------------

    async def create(self, spec: NetworkSpec) -> tuple[Network, tuple[str, ...]]:
        """Make a network, and write it down; gives it as packets go by it, and warnings."""
        async with self._turn:
            warnings = making.check(spec, {each.name for each in self.all()})
            network_id = making.make_id(self._random)
            taken, at = (*self.taken(), *self._others()), time.time()
            network = making.make(spec, network_id, taken=taken, at=at, random=self._random)
            text = msgspec.json.encode(network)
            await asyncio.to_thread(self._write, f"{network_id}.json", text)
            self._take(network)
        return self._routed(network), warnings

    def remove(self, place: Place, *, name_of: Callable[[TaskId], str]) -> None:
        """Remove a network that no container is in, or about to be."""
        if not place.has_names:
            raise Refused(f"{place.name} is a pre-defined network and cannot be removed")
        if holders := set(self._addresses[place.id].holders.values()):
            names = ", ".join(sorted(map(name_of, holders)))
            raise Refused(
                f"error while removing network: network {place.name} id {place.id} has active "
                "endpoints",
                hint=f"stop {names} or disconnect it: network disconnect",
            )
        with contextlib.suppress(FileNotFoundError):
            (self._directory / f"{place.id}.json").unlink()
        del self._made[place.id], self._addresses[place.id]

    # --- addresses ------------------------------------------------------------------------------

    def lend(
        self, place: Place, container_id: TaskId, asked: ContainerNetwork, avoided: Collection[str]
    ) -> Attachment:
        """An interface for a container; raises where there is none, or not as it wants it."""
        if not place.has_names:
            return self._bridge.lend(container_id)
        wanted = [each for each in (asked.ipv4_address, asked.ipv6_address) if each]
        addresses = self._addresses[place.id].lend(container_id, wanted, avoided=avoided)
        return Attachment(network_id=place.id, addresses=addresses, aliases=asked.aliases)

    def keep(self, container_id: TaskId, attachments: Iterable[Attachment]) -> None:
        """The container has these already, of an earlier agent."""
        for each in attachments:
            if each.network_id in self._addresses:
                self._addresses[each.network_id].keep(container_id, each.addresses)

    def give_back(self, container_id: TaskId, network_id: NetworkId) -> None:
        """A container is in that network no more."""
        if network_id in self._addresses:
            self._addresses[network_id].give_back(container_id)

    def give_all_back(self, container_id: TaskId, *, forgets: bool = False) -> None:
        """A container has ended, or is gone for good."""
        for each in self._addresses.values():
            if forgets:
                each.forget(container_id)
            else:
                each.give_back(container_id)

    def _take(self, network: Network) -> None:
        self._made[network.id] = network
        self._addresses[network.id] = Addresses(network)

    def _routed(self, network: Network) -> Network:
        size = making.mtu(network.spec) or self._mtu
        return replace(network, spec=replace(network.spec, mtu=size))

    # --- what every node has --------------------------------------------------------------------

    def _place_of(self, name: str) -> Place:
        known = self._known()
        if name == BRIDGE:
            network = replace(self._bridge.network(), created_at=known.at, updated_at=known.at)
            return Place(id=known.bridge, driver=BRIDGE, network=network)
        spec = NetworkSpec(name=name, driver=NetworkDriver.BRIDGE)
        network = Network(id=NetworkId(name), spec=spec, created_at=known.at, updated_at=known.at)
        is_host = name == HOST
        return Place(
            id=known.host if is_host else known.none,
            driver=HOST if is_host else "null",
            network=network,
        )

    def _known(self) -> BuiltIn:
        if self._built_in is None:
            path = self._directory / f"{_BUILT_IN}.json"
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self._built_in = msgspec.json.decode(path.read_bytes(), type=BuiltIn)
        if self._built_in is None:
            bridge, host, none = (making.make_id(self._random) for _ in range(3))
            self._built_in = BuiltIn(bridge=bridge, host=host, none=none, at=time.time())
            self._write(f"{_BUILT_IN}.json", msgspec.json.encode(self._built_in))
        return self._built_in

    def _write(self, name: str, text: bytes) -> None:
        """A crash, of the host too, leaves all of it or nothing."""
        path = self._directory / name
        fresh = path.with_name(f".{name}")
        try:
            with fresh.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as err:
            raise Refused(
                f"the network cannot be kept: {err.strerror}",
                hint="look at the data root of this node",
            ) from err


def _made(network: Network) -> Place:
    return Place(id=network.id, driver=network.spec.driver.word, network=network)
