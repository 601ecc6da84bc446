"""Say what networks give a container before it is made.

Some of it is decided then: whether it has a network of its own, what is in the files that name
hosts and resolvers, what it is called. The interfaces follow once its namespace is there.
"""

from msgspec import Struct

from swarm.objects import Attachment

HOST_GATEWAY = "host-gateway"
"""What somebody writes for the node's address where `hosts` want one."""


class Lent(Struct, frozen=True, kw_only=True):
    """A container's place in networks.

    `on_host`: it has the node's own network. `joins` is the path of another one's namespace that
    it has instead of its own, and `joins_of` whose that is; the host names, and the files that
    say them, are that one's too: `shared` are their places on the host. With `attachments` it
    waits for its interfaces. `hosts` are NAME:ADDRESS for its hosts file, and `env` more of its
    environment, which come of links. `asks_us` says that it resolves names at the node's own
    server; `gateway` is the node's address as it sees it.
    """

    on_host: bool = False
    joins: str = ""
    joins_of: str = ""
    shared: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    hosts: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    asks_us: bool = True
    gateway: str = ""
