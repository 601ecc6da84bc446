import pytest
from msgspec import structs

from manager import layout
from manager.control.pinning import AskRegistry, Pinned, pin
from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.objects import LocalImage
from tests.manager.world import World

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def loaded(**digests: str) -> World:
    """A world whose nodes have `app:1` with these digests; empty for none."""
    world = World()
    for name, digest in digests.items():
        world.node(name)
        node = world.view.nodes[NodeId(name)]
        images = (LocalImage(reference="docker.io/library/app:1", digest=digest),) if digest else ()
        told = structs.replace(node.description, images=images)
        world.write((layout.node_key(node.id), structs.replace(node, description=told)))
    return world


def test_a_digest_is_kept() -> None:
    assert pin(World().view, f"app:1@{A}") == Pinned(image=f"app:1@{A}")


def test_what_nodes_loaded_is_pinned_without_asking_a_registry() -> None:
    assert pin(loaded(n1=A, n2=A).view, "app:1") == Pinned(image=f"app:1@{A}")


def test_what_nobody_loaded_is_the_registrys_to_tell() -> None:
    found = pin(loaded(n1=A).view, "app")

    assert isinstance(found, AskRegistry)
    assert found.reference.tag == "latest"


def test_an_image_on_some_nodes_only_comes_with_a_warning() -> None:
    found = pin(loaded(n1=A, n2="", n3="").view, "app:1")

    assert isinstance(found, Pinned)
    assert found.image == f"app:1@{A}"
    assert "1 of 3 nodes" in found.warnings[0]


def test_different_images_under_one_name_are_not_pinned() -> None:
    found = pin(loaded(n1=A, n2=B).view, "app:1")

    assert isinstance(found, Pinned)
    assert found.image == "app:1"
    assert "2 different ones" in found.warnings[0]


def test_what_is_no_name_is_invalid() -> None:
    with pytest.raises(Invalid):
        pin(World().view, "UPPER/case:")
