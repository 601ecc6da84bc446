"""Say who asks: what a container may hear of, and whom else it wants asked.

A container hears of the networks that it is in and of no other. Servers of its own are asked
in its place, from its own namespace, instead of the node's.
"""

from msgspec import Struct

from swarm.ids import NetworkId, TaskId


class Nickname(Struct, frozen=True, kw_only=True):
    """What one container calls another in a network: `alias` is what `name` stands for there."""

    network_id: NetworkId
    alias: str
    name: str


class Asker(Struct, frozen=True, kw_only=True):
    """A container with a network of its own.

    `networks` are those it is in, its way out first; `servers` are addresses, and none means
    the node's own. Its `hostname` is answered with its addresses, to itself only; `nicknames` are
    nobody else's either.
    """

    task_id: TaskId
    networks: tuple[NetworkId, ...] = ()
    hostname: str = ""
    servers: tuple[str, ...] = ()
    nicknames: tuple[Nickname, ...] = ()
