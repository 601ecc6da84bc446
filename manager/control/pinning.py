"""Pin an image's tag to the digest it has now, so that every replica runs the same one.

What was loaded on a node is known without asking anyone, and comes first: no registry can
vouch for it, and may even have something else under that name. Nodes that loaded different
images under one name are left to their own: pinning to one of them would keep the others
from running at all.
"""

from functools import lru_cache

from msgspec import Struct

from manager.view import ClusterView
from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.images.reference import Reference, parse_reference
from swarm.states import NodeState


class Pinned(Struct, frozen=True, kw_only=True):
    """The image to store, and what its operator should know."""

    image: str
    warnings: tuple[str, ...] = ()


class AskRegistry(Struct, frozen=True, kw_only=True):
    """Nobody here knows what the tag means."""

    reference: Reference


def pin(view: ClusterView, image: str) -> Pinned | AskRegistry:
    """Find the digest of `image` without leaving the swarm; `Invalid` when it is no name."""
    reference = parse_reference(image).with_default_tag()
    if reference.digest:
        return Pinned(image=image)
    holders = _holders(view, reference)
    if not holders:
        return AskRegistry(reference=reference)
    if len(holders) > 1:
        differ = f"image {image} is not pinned: {len(holders)} different ones are loaded on nodes"
        return Pinned(image=image, warnings=(differ,))
    ((digest, nodes),) = holders.items()
    return Pinned(image=pinned(reference, digest), warnings=_scarcity(view, image, nodes))


def pinned(reference: Reference, digest: str) -> str:
    """`name:tag@digest`, as short as users write names."""
    return reference.with_digest(digest).familiar


def _holders(view: ClusterView, reference: Reference) -> dict[str, set[NodeId]]:
    wanted, found = str(reference), dict[str, set[NodeId]]()
    for node in view.nodes.values():
        for image in node.description.images:
            if image.digest and _canonical(image.reference) == wanted:
                found.setdefault(image.digest, set()).add(node.id)
    return found


def _scarcity(view: ClusterView, image: str, holders: set[NodeId]) -> tuple[str, ...]:
    ready = [each for each in view.nodes if view.node_state(each) is NodeState.READY]
    lacking = sum(each not in holders for each in ready)
    if not lacking:
        return ()
    return (
        f"image {image} is loaded on {len(ready) - lacking} of {len(ready)} nodes; "
        "the others will look for it in a registry",
    )


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    try:
        return str(parse_reference(text).with_default_tag())
    except Invalid:
        return ""
