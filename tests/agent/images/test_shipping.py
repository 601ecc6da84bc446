"""What a registry is given, and where else it may have it."""

import json

from msgspec import structs

from agent.images.index import Index
from agent.images.shipping import (
    REMEMBERED,
    Elsewhere,
    is_to_compress,
    origins,
    pushed,
    remembered,
    with_layers,
)
from swarm.images.manifest import OCI_LAYER, Descriptor
from swarm.images.reference import parse_reference
from tests.agent.images.test_index import digest, record

PLAIN = Descriptor(media_type=OCI_LAYER, digest=digest("a"), size=5)
SQUEEZED = Elsewhere(digest=digest("b"), size=3).descriptor


def test_only_what_nobody_compressed_and_no_registry_gave_is_compressed() -> None:
    pulled = record("a", "web:1")
    local = structs.replace(pulled, local=True)

    assert is_to_compress(local, PLAIN)
    assert not is_to_compress(pulled, PLAIN)
    assert not is_to_compress(local, SQUEEZED)


def test_a_manifest_stays_byte_for_byte_what_it_was_unless_a_layer_is_another() -> None:
    body = b'{ "schemaVersion":2, "config":{"digest":"%s","size":1},"x":1,\n"layers":[%s]}' % (
        digest("c").encode(),
        json.dumps({"mediaType": PLAIN.media_type, "digest": PLAIN.digest, "size": 5}).encode(),
    )

    assert with_layers(body, (PLAIN,)) == body
    changed = json.loads(with_layers(body, (SQUEEZED,)))
    assert changed["x"] == 1
    assert changed["layers"][0] == {
        "mediaType": SQUEEZED.media_type,
        "digest": digest("b"),
        "size": 3,
    }


def test_repositories_of_the_same_registry_may_have_a_layer() -> None:
    index = Index(
        (
            record("a", "reg:5000/one:1", "other:5000/two:1", "reg:5000/target:1"),
            structs.replace(record("b", "reg:5000/local:1"), blobs=(digest("a"),), local=True),
        )
    )
    known = (
        Elsewhere(digest=digest("a"), size=1, repositories=("reg:5000/pushed", "docker.io/x")),
        Elsewhere(digest=digest("b"), size=1, repositories=("reg:5000/another-layer",)),
    )

    found = origins(index, digest("a"), parse_reference("reg:5000/target:2"), known)

    assert found == ("one", "pushed")


def test_what_is_remembered_of_a_layer_is_the_latest_and_bounded() -> None:
    known: tuple[Elsewhere, ...] = ()
    for number in range(40):
        known = remembered(known, digest("a"), 1, f"reg/{number}")
    known = remembered(known, digest("b"), 2, "reg/x")

    assert [each.digest for each in known] == [digest("b"), digest("a")]
    assert known[1].repositories[0] == "reg/39"
    assert len(known[1].repositories) == REMEMBERED
    assert remembered(known, digest("b"), 2, "reg/x") == known


def test_a_push_leaves_a_name_by_digest_and_never_two() -> None:
    index = Index((record("a", "reg:5000/web:1"),))

    once = pushed(index, digest("a"), "reg:5000/web:1", digest("a"))

    (image,) = once.images
    assert image.names == ("reg:5000/web:1", f"reg:5000/web@{digest('a')}")
    assert image.pushed == ()
    assert pushed(once, digest("a"), "reg:5000/web:1", digest("a")) == once
