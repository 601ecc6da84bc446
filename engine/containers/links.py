"""Show links between containers in the node's own bridge.

There nobody has a name, so Docker keeps links beside the containers, and shows them in their
configuration and among the names of who is linked to. In any other network a link is a name that
belongs to the place in it: compose takes a container that shows it elsewhere for one of old, and
keeps it where it should be made anew.
"""

from collections.abc import Iterable, Iterator, Mapping

from swarm.api.v1 import containers_pb2 as pb
from swarm.specs import BRIDGE

_BRIDGES = ("", "default", BRIDGE)
_SHORT = 12


def write_links(view: pb.ContainerView) -> list[str]:
    """`/db:/web/store`: whom a container is linked to, and what it calls him."""
    return [f"/{name}:/{view.name}/{alias}" for name, alias in _links(view)]


def linked_names(views: Iterable[pb.ContainerView]) -> Mapping[str, list[str]]:
    """What containers are called by those that are linked to them, by id: `/web/store`."""
    views = tuple(views)
    ids = {name: view.id for view in views for name in (view.name, view.id, view.id[:_SHORT])}
    found: dict[str, list[str]] = {}
    for view in views:
        for name, alias in _links(view):
            if (meant := ids.get(name)) is not None:
                found.setdefault(meant, []).append(f"/{view.name}/{alias}")
    return found


def _links(view: pb.ContainerView) -> Iterator[tuple[str, str]]:
    for text in view.spec.links if view.spec.network_mode in _BRIDGES else ():
        name, _, alias = text.partition(":")
        name = name.rpartition("/")[2]
        yield name, alias.rpartition("/")[2] or name
