"""Archives list what was asked for, in the words of Docker and of the OCI."""

import json

import pytest

from agent.images.saving import Choice, Saved, choose, documents
from swarm.errors import Missing
from swarm.images.manifest import OCI_MANIFEST, Descriptor
from tests.agent.images.test_index import digest, index, record

IMAGES = index(
    record("a", "web:1", "web:2", "other:1", f"web@{digest('a')}"), record("b", "webby:1")
)


def chosen(*texts: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.record.digest[7], each.names) for each in choose(IMAGES, texts)]


def test_a_name_alone_is_all_its_tags_and_no_others() -> None:
    assert chosen("web") == [("a", ("docker.io/library/web:1", "docker.io/library/web:2"))]


def test_an_image_is_saved_once_with_every_name_that_was_said() -> None:
    assert chosen("other:1", "aaaa", "web:2", "other:1") == [
        ("a", ("docker.io/library/other:1", "docker.io/library/web:2"))
    ]


@pytest.mark.parametrize("text", ["aaaa", digest("a"), f"web@{digest('a')}"])
def test_an_id_and_a_digest_have_no_names(text: str) -> None:
    assert chosen(text) == [("a", ())]


@pytest.mark.parametrize("text", ["web:3", "nothing", "cccc", digest("c")])
def test_what_is_not_here_is_missing(text: str) -> None:
    with pytest.raises(Missing, match="No such image"):
        chosen("web:1", text)


def test_both_tables_of_contents_say_the_same() -> None:
    choice = Choice(IMAGES.images[0], ("docker.io/library/web:1", "reg:5000/x:2"))
    saved = Saved(
        names=choice.names,
        entry=Descriptor(media_type=OCI_MANIFEST, digest=digest("a"), size=9),
        config=digest("c"),
        layers=(digest("d"), digest("d")),
        top=digest("e"),
    )

    found = {name: json.loads(body) for name, body in documents((saved,)).items()}

    blob = "blobs/sha256/"
    assert found["manifest.json"] == [
        {
            "Config": blob + "c" * 64,
            "RepoTags": ["web:1", "reg:5000/x:2"],
            "Layers": [blob + "d" * 64] * 2,
        }
    ]
    names = [each["annotations"]["io.containerd.image.name"] for each in
             found["index.json"]["manifests"]]  # fmt: skip
    assert names == list(choice.names)
    assert found["oci-layout"] == {"imageLayoutVersion": "1.0.0"}
    assert found["repositories"] == {"web": {"1": "e" * 64}, "reg:5000/x": {"2": "e" * 64}}


def test_an_image_without_a_name_is_listed_all_the_same() -> None:
    saved = Saved(
        names=(),
        entry=Descriptor(media_type=OCI_MANIFEST, digest=digest("a"), size=9),
        config=digest("c"),
        layers=(),
        top=digest("c"),
    )

    found = {name: json.loads(body) for name, body in documents((saved,)).items()}

    assert found["index.json"]["manifests"] == [
        {"mediaType": OCI_MANIFEST, "digest": digest("a"), "size": 9}
    ]
    assert found["manifest.json"][0]["RepoTags"] is None
    assert "repositories" not in found
