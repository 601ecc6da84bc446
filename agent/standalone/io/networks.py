"""Give containers that somebody runs their places in networks.

`Performing` asks for what one is to have before it is made (`lend`), has it connected while it
waits between its namespaces and its program (`attach`), and takes all back when its run has
ended (`release`). `connect` and `disconnect` change what a container is to have, write that down,
and have what runs follow: whatever of it was not done when we were killed, the next agent does.

Networks of this node are known here, and so are those of the swarm that something of this node is
in. Of others only the managers know, who are asked as soon as a container is to be in one.
"""

import asyncio
import contextlib
from collections.abc import Generator, Iterable, Sequence

import structlog
from msgspec.structs import replace

from agent.attachments import Connection, endpoints
from agent.containers import SHORT_ID
from agent.dns.asking import Asker
from agent.io.connections import Connections
from agent.network.problems import PortTaken
from agent.standalone import links, memberships
from agent.standalone.found import Found
from agent.standalone.io.guests import Guests
from agent.standalone.io.host_files import SHARED, HostFiles
from agent.standalone.io.journal import Journal
from agent.standalone.io.linking import Linking
from agent.standalone.io.lives import Lives
from agent.standalone.io.local_networks import LocalNetworks, Place
from agent.standalone.io.members import Member, found, found_members, meaning
from agent.standalone.io.publishing import WhyTaken, ports, refusal
from agent.standalone.lending import Lent
from agent.standalone.networks import has_chosen_subnet, host_ip
from agent.standalone.record import Record
from agent.topology import Changes, is_local
from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message
from swarm.errors import Missing, Refused, SwarmError
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Attachment
from swarm.specs import BRIDGE, HOST, NONE
from swarm.standalone import ContainerNetwork, ContainerState, endpoint_id_of

_HOST = "container cannot be disconnected from host network or connected to host network"
_NONE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)


class Attaching:
    """The networks of containers. `why_taken` says whose a port of the node is, if somebody's."""

    def __init__(
        self,
        networks: LocalNetworks,
        connections: Connections,
        lives: Lives,
        *,
        guests: Guests,
        node_id: NodeId,
        files: HostFiles,
        why_taken: WhyTaken,
        journal: Journal,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._networks = networks
        self._connections = connections
        self._lives = lives
        self._guests = guests
        self._node_id = node_id
        self._files = files
        self._why_taken = why_taken
        self._journal = journal
        self._log = log
        self._linking = Linking(lives, connections, files, log)
        self._turns: dict[str, asyncio.Lock] = {}
        self._starting: dict[str, asyncio.Event] = {}

    # --- a container's run ----------------------------------------------------------------------

    def check(self, record: Record) -> tuple[str, ...]:
        """Refuse to make a container that could never be connected; gives warnings."""
        warnings = memberships.check(record.spec)
        for each in found_members(self._networks, record.spec):
            _check_wishes(each)  # what is not found may be there by the time of the start
        return warnings

    async def lend(self, record: Record) -> Lent:
        """What one is to have before it is made; raises when that cannot be."""
        record = self._lives.record(record.id) or record
        if name := memberships.joined(record.spec):
            return self._joining(self._lives.find(name))
        if memberships.is_apart(record.spec):
            return Lent(on_host=memberships.mode(record.spec) == HOST, asks_us=False)
        self._starting[record.id] = asyncio.Event()
        wanted = memberships.memberships(record.spec)
        attachments = tuple([await self._lend(record, each) for each in wanted])
        linked = self._linking.linked(record)
        around = list(found_members(self._networks, record.spec))
        has_names = any(each.place.has_names for each in around)
        return Lent(
            attachments=attachments,
            hosts=tuple(extra for each in linked for extra in links.extras(each)),
            env=tuple(links.environment(record.name, linked)),
            asks_us=has_names or not record.spec.container.dns_servers,
            gateway=next((_gateway(each.place) for each in around), ""),
        )

    async def attach(self, record: Record, lent: Lent, netns: int) -> None:
        """Connect one that is about to run."""
        record = self._lives.record(record.id) or record
        wanted = self._connection(record, lent.attachments)
        await self._connections.follow_here(Changes(put=endpoints(wanted, self._node_id)))
        first = next(found_members(self._networks, record.spec), None)
        default_ip = host_ip(first.place.network.spec) if first else ""
        asked = ports(record, default_ip, self._why_taken)
        with self._refusing(record, lent.attachments):
            wanted = replace(wanted, ports=asked)
            await self._connections.attach(TaskId(record.id), netns, wanted)
        self._tell(record, lent.attachments, "connect")
        self._linking.has_started(record)
        self._has_started(record.id)

    async def release(self, container_id: str) -> None:
        """Take back all that it had; content when that was nothing."""
        self._has_started(container_id)
        task_id, record = TaskId(container_id), self._lives.record(container_id)
        is_gone = record is None or record.life.state is ContainerState.REMOVING
        async with self._turn(container_id):
            known = self._connections.connection(task_id)
            await self._connections.release(task_id)
            self._guests.leave(task_id)
            self._networks.give_all_back(task_id, forgets=is_gone)
            if known is not None:
                await self._connections.follow_here(Changes(gone=endpoints(known, self._node_id)))
                if record is not None:
                    self._tell(record, known.attachments, "disconnect")
        if is_gone:
            self._turns.pop(container_id, None)

    def unlinked(self, container_id: str, alias: str) -> None:
        """It is linked to somebody no longer."""
        self._linking.unlink(container_id, alias)

    async def renamed(self, container_id: str) -> None:
        """Others are to find it by its new name."""
        task_id = TaskId(container_id)
        async with self._turn(container_id):
            record, known = self._lives.record(container_id), self._connections.connection(task_id)
            if record is None or known is None:
                return
            new = replace(known, name=record.name)
            self._connections.note(task_id, new)
            await self._connections.follow_here(Changes(put=endpoints(new, self._node_id)))
            for each in found_members(self._networks, record.spec):
                if not is_local(each.place.network.id):
                    with contextlib.suppress(SwarmError):  # managers hear of it the next time
                        await self._guests.attach(record, each.asked)

    async def resume(self) -> None:
        """Have what runs be where it is to be, whatever the last agent left undone."""
        for record in self._lives.records():
            if record.life.is_up and not memberships.is_apart(record.spec):
                try:
                    async with self._turn(record.id):
                        await self._settle(record.id)
                except SwarmError as err:
                    self._log.warning(
                        "container.not_connected", container_id=record.id, reason=err.message
                    )

    # --- being connected by hand ----------------------------------------------------------------

    async def connect(self, request: pb.ConnectContainerRequest) -> None:
        """Put one into a network, at once if it runs."""
        container_id = self._lives.own(request.container, to="connect").id
        asked = from_message(ContainerNetwork, request.network)
        memberships.check_membership(asked)
        async with self._turn(container_id):
            record = self._lives.own(container_id, to="connect")
            place = found(self._networks, asked.network)
            self._check_connectable(record, place or asked.network)
            if place is not None:
                asked = replace(asked, network=place.name)
                _check_wishes(Member(place=place, asked=asked))
            before, means = record.spec, meaning(self._networks, place or asked.network)
            after = memberships.connected(before, asked, means=means)
            await self._lives.change(container_id, after)
            try:
                await self._settle(container_id)
            except BaseException:
                now = self._lives.own(container_id, to="connect").spec
                undone = replace(now, networks=before.networks)
                await self._lives.change(container_id, undone)
                raise

    async def disconnect(self, request: pb.DisconnectContainerRequest) -> None:
        """Take one out of a network, at once if it runs."""
        container_id = self._lives.own(request.container, to="disconnect").id
        async with self._turn(container_id):
            record = self._lives.own(container_id, to="disconnect")
            place = found(self._networks, request.network)
            if place is not None and place.network.id == HOST:
                raise Refused(_HOST)
            means = meaning(self._networks, place or request.network)
            if not any(means(each.network) for each in memberships.memberships(record.spec)):
                name = self._networks.find(request.network).name
                raise Refused(f"container {record.id} is not connected to network {name}")
            after = memberships.disconnected(record.spec, means=means)
            await self._lives.change(container_id, after)
            await self._settle(container_id)

    async def _settle(self, container_id: str) -> None:
        """Have a container that runs be in the networks that it is to be in, and no others."""
        while (event := self._starting.get(container_id)) is not None:
            await event.wait()
        record = self._lives.record(container_id)
        if record is None or not record.life.is_up:
            return
        known = self._connections.connection(TaskId(container_id)) or self._connection(record, ())
        there = {each.network_id for each in known.attachments}
        wanted, missing, unknown = set[NetworkId](), list[ContainerNetwork](), 0
        for each in memberships.memberships(record.spec):
            place = found(self._networks, each.network)
            unknown += place is None
            if place is not None:
                wanted.add(place.network.id)
            if place is None or place.network.id not in there:
                missing.append(each)
        gone = [each for each in known.attachments if each.network_id not in wanted]
        if unknown and not all(is_local(each.network_id) for each in gone):
            # No manager has spoken yet: those that we do not know by name may be where it is.
            gone = [each for each in gone if is_local(each.network_id)]
            missing = [each for each in missing if found(self._networks, each.network)]
        if gone or missing:
            await self._move(record, known, tuple(gone), missing)

    async def _move(
        self,
        record: Record,
        known: Connection,
        gone: tuple[Attachment, ...],
        missing: Sequence[ContainerNetwork],
    ) -> None:
        task_id, new = TaskId(record.id), list[Attachment]()
        kept = tuple(each for each in known.attachments if each not in gone)
        left = endpoints(replace(known, attachments=gone), self._node_id)
        try:
            for each in missing:
                new.append(await self._lend(record, each))
            wanted = replace(self._connection(record, (*kept, *new)), ports=known.ports)
            named = Changes(put=endpoints(wanted, self._node_id), gone=left)
            await self._connections.follow_here(named)
            with self._refusing(record, wanted.attachments):
                await self._connections.move(task_id, record.life.pid, wanted)
        except BaseException as err:
            undone = replace(known, attachments=tuple(new))
            await self._connections.follow_here(Changes(gone=endpoints(undone, self._node_id)))
            self._give_back(task_id, new)
            now = self._lives.record(record.id)
            if isinstance(err, Missing) and (now is None or now.life.pid != record.life.pid):
                return  # it has ended meanwhile
            raise
        self._give_back(task_id, gone)
        self._linking.has_moved(record.id, gone, new)
        self._tell(record, new, "connect")
        self._tell(record, gone, "disconnect")

    # --- parts ----------------------------------------------------------------------------------

    async def _lend(self, record: Record, asked: ContainerNetwork) -> Attachment:
        place = found(self._networks, asked.network)
        if place is None or (not is_local(place.network.id) and place.has_addresses):
            return await self._guests.attach(record, asked)
        _check_wishes(Member(place=place, asked=asked))
        promised = self._promised(record, place)
        return self._networks.lend(place, TaskId(record.id), asked, promised)

    def _give_back(self, task_id: TaskId, attachments: Iterable[Attachment]) -> None:
        for each in attachments:
            self._networks.give_back(task_id, each.network_id)
            if not is_local(each.network_id):
                self._guests.leave(task_id, each.network_id)

    def _promised(self, record: Record, place: Place) -> set[str]:
        """The addresses that others ask for there, whether they run or not."""
        means = meaning(self._networks, place)
        return {
            address
            for other in self._lives.records()
            for each in (other.spec.networks if other.id != record.id else ())
            for address in (each.ipv4_address, each.ipv6_address)
            if address and means(each.network)
        }

    def _connection(self, record: Record, attachments: Iterable[Attachment]) -> Connection:
        spec, held = record.spec, tuple(attachments)
        around = list(found_members(self._networks, spec))
        named = {each.asked.network: each.place for each in around if each.place.has_names}
        return Connection(
            attachments=held,
            asker=Asker(
                task_id=TaskId(record.id),
                networks=tuple(each.network_id for each in held),
                hostname=spec.container.hostname or record.id[:SHORT_ID],
                servers=spec.container.dns_servers,
                nicknames=tuple(
                    memberships.nicknames(spec, {k: v.network.id for k, v in named.items()})
                ),
            ),
            macs={
                each.place.network.id: memberships.mac(each.asked.mac_address)
                for each in around
                if each.asked.mac_address
            },
            is_standalone=True,
            name=record.name,
        )

    def _joining(self, other: Found) -> Lent:
        if not other.is_running:
            raise Refused(f"cannot join network of a non running container: {other.id}")
        places = self._files.places(other.runtime_id)
        return Lent(
            joins=f"/proc/{other.pid}/ns/net",
            joins_of=other.id,
            shared={path: places[path] for path in SHARED if path in places},
            asks_us=False,
        )

    def _check_connectable(self, record: Record, place: Place | str) -> None:
        name = place if isinstance(place, str) else place.name
        if name == HOST:
            raise Refused(_HOST)
        memberships.refuse_apart(record.spec)
        if name == NONE:
            raise Refused(_NONE)
        means = meaning(self._networks, place)
        there = memberships.memberships(record.spec) if record.life.is_active else ()
        if any(means(each.network) for each in there):
            raise Refused(f"endpoint with name {record.name} already exists in network {name}")

    @contextlib.contextmanager
    def _refusing(
        self, record: Record, attachments: Sequence[Attachment]
    ) -> Generator[None, None, None]:
        """Say of a port that is taken who has it."""
        try:
            yield
        except PortTaken as err:
            ids = [endpoint_id_of(record.id, each.network_id) for each in attachments]
            raise refusal(record, ids, err, self._why_taken) from err

    def _has_started(self, container_id: str) -> None:
        if (event := self._starting.pop(container_id, None)) is not None:
            event.set()

    def _turn(self, container_id: str) -> asyncio.Lock:
        return self._turns.setdefault(container_id, asyncio.Lock())

    def _tell(self, record: Record, attachments: Iterable[Attachment], action: str) -> None:
        for each in attachments:
            if (place := self._networks.of(each.network_id)) is not None:
                told = {"container": record.id, "name": place.name, "type": place.driver}
                self._journal.tell("network", action, place.id, told, name=place.name)


def _check_wishes(member: Member) -> None:
    """Of the swarm's networks their managers judge."""
    if not is_local(member.place.network.id):
        return
    memberships.check_address(
        member.asked,
        may_choose=has_chosen_subnet(member.place.network),
        is_bridge=member.place.network.id == BRIDGE,
    )


def _gateway(place: Place) -> str:
    return next((each.gateway for each in place.network.subnets), "")
