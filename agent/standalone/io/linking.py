"""Have containers know those that they are linked to, and what they are called themselves.

What names hosts in a container is a file of ours. It is written when the container is made, and
changed here while it runs: when it is put into another network, and when somebody that it is
linked to has started anew, with another address perhaps.
"""

from collections.abc import Callable, Iterable, Iterator

import structlog

from agent import hosts, resolver
from agent.containers import SHORT_ID
from agent.io.connections import Connections
from agent.standalone import links, making, memberships
from agent.standalone.io.host_files import HOSTS, RESOLV_CONF, HostFiles
from agent.standalone.io.lives import Lives
from agent.standalone.links import Linked
from agent.standalone.record import Record
from swarm.errors import Refused, SwarmError
from swarm.ids import TaskId
from swarm.objects import Attachment
from swarm.specs import BRIDGE


class Linking:
    """The links of containers in the node's own bridge, and the files that name hosts."""

    def __init__(
        self,
        lives: Lives,
        connections: Connections,
        files: HostFiles,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._lives = lives
        self._connections = connections
        self._files = files
        self._log = log

    def linked(self, record: Record) -> tuple[Linked, ...]:
        """Those that it is linked to, which have to run."""
        texts = memberships.bridge_links(record.spec)
        return tuple(self._linked(record, *memberships.link(each)) for each in texts)

    def has_started(self, record: Record) -> None:
        """It may have another address than before: those that are linked to it have to know."""
        addresses = tuple(self._addresses(record.id))
        for other in self._lives.records():
            if other.life.is_up and other.id != record.id:
                for text in memberships.bridge_links(other.spec):
                    name, alias = memberships.link(text)
                    if self._is_called(record, name):
                        self._relink(other, _linked(record, alias, addresses))

    def has_moved(
        self, container_id: str, gone: Iterable[Attachment], new: Iterable[Attachment]
    ) -> None:
        """Have its files say what its addresses are now, and whom it asks for names."""
        before = [address for each in gone for address in each.addresses]
        after = [address for each in new for address in each.addresses]
        hostname = self._files.hostname(container_id)
        self._change(
            container_id, HOSTS, lambda x: hosts.readdressed(x, hostname, gone=before, new=after)
        )
        if any(each.network_id != BRIDGE for each in new):
            self._change(container_id, RESOLV_CONF, resolver.redirected)

    def unlink(self, container_id: str, alias: str) -> None:
        """Have one that runs forget what it called somebody."""
        self._change(container_id, HOSTS, lambda x: hosts.linked(x, alias, ()))

    def _linked(self, record: Record, name: str, alias: str) -> Linked:
        other = self._lives.find(name)
        if not other.is_running or other.record is None:
            raise Refused(
                f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias}"
            )
        addresses = tuple(self._addresses(other.id))
        if not addresses:
            raise Refused(
                f"Cannot link to /{other.name}, as it does not belong to the default network"
            )
        return _linked(other.record, alias, addresses)

    def _addresses(self, container_id: str) -> Iterator[str]:
        """Those in the node's bridge."""
        known = self._connections.connection(TaskId(container_id))
        for each in known.attachments if known else ():
            if each.network_id == BRIDGE:
                yield from each.addresses

    def _is_called(self, record: Record, name: str) -> bool:
        try:
            return self._lives.find(name).id == record.id
        except SwarmError:
            return False

    def _relink(self, other: Record, linked: Linked) -> None:
        lines = links.hosts(linked)
        self._change(other.id, HOSTS, lambda x: hosts.linked(x, linked.alias, lines))

    def _change(self, container_id: str, path: str, change: Callable[[str], str]) -> None:
        try:
            content = self._files.read(container_id, path)
            if content is not None and (changed := change(content)) != content:
                self._files.write(container_id, path, changed)
        except OSError as err:
            self._log.warning(
                "container.file_not_changed", container_id=container_id, path=path, reason=str(err)
            )


def _linked(other: Record, alias: str, addresses: tuple[str, ...]) -> Linked:
    return Linked(
        alias=alias,
        name=other.name,
        hostname=other.spec.container.hostname or other.id[:SHORT_ID],
        addresses=addresses,
        exposed=making.exposed(other.spec, other.image),
        env=making.variables(other.spec.container, other.image),
    )
