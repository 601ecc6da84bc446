"""Saved images are found in both layouts, and what is wrong with an archive is said."""

import json

import pytest

from agent.images.archive import Contents, Found, Member, find_images
from swarm.errors import Invalid, Missing, SwarmError
from swarm.images.digest import digest_of
from swarm.images.manifest import OCI_INDEX, OCI_MANIFEST
from swarm.images.platform import Platform

AMD64 = Platform("linux", "amd64")
LAYER = b"a layer"
CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest_of(LAYER)]}}
).encode()


def contents(files: dict[str, bytes], links: dict[str, str] | None = None) -> Contents:
    return Contents(
        members={
            name: Member(digest=digest_of(body), size=len(body), is_document=body[:1] in b"{[")
            for name, body in files.items()
        },
        links=links or {},
        documents={digest_of(body): body for body in files.values() if body[:1] in (b"{", b"[")},
    )


def saved(*tags: str, **changes: object) -> dict[str, bytes]:
    item = {"Config": "c.json", "RepoTags": list(tags), "Layers": ["1/layer.tar"]} | changes
    return {
        "manifest.json": json.dumps([item]).encode(),
        "c.json": CONFIG,
        "1/layer.tar": LAYER,
    }


def blob(body: bytes, **more: object) -> dict[str, object]:
    return {"digest": digest_of(body), "size": len(body)} | more


MANIFEST = json.dumps(
    {"schemaVersion": 2, "config": blob(CONFIG), "layers": [blob(LAYER)]}
).encode()


def layout(*entries: dict[str, object], blobs: tuple[bytes, ...] = ()) -> dict[str, bytes]:
    listed = entries or (blob(MANIFEST, mediaType=OCI_MANIFEST),)
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": listed}).encode(),
    }
    for body in (MANIFEST, CONFIG, LAYER, *blobs):
        files[f"blobs/sha256/{digest_of(body)[7:]}"] = body
    return files


def only(files: dict[str, bytes], links: dict[str, str] | None = None) -> Found:
    (found,) = find_images(contents(files, links), AMD64)
    return found


def refusal(files: dict[str, bytes]) -> SwarmError:
    with pytest.raises(SwarmError) as caught:
        find_images(contents(files), AMD64)
    return caught.value


def test_a_docker_archive_gets_a_manifest_that_depends_on_its_content_only() -> None:
    found = only(saved("web:1", "acme/web"))

    assert found.names == ("docker.io/library/web:1", "docker.io/acme/web:latest")
    assert found.config_digest == digest_of(CONFIG)
    assert found.digest == only(saved("other:2")).digest
    assert found.digest in found.documents


def test_layers_that_are_links_are_followed() -> None:
    files = saved("web:1", Layers=["2/layer.tar"])

    found = only(files, {"2/layer.tar": "../1/layer.tar"})

    assert found.layers[0].digest == digest_of(LAYER)


def test_an_oci_layout_keeps_its_digest_and_gets_its_names_from_annotations() -> None:
    entry = blob(
        MANIFEST, mediaType=OCI_MANIFEST, annotations={"io.containerd.image.name": "acme/web:3"}
    )

    found = only(layout(entry))

    assert found.digest == digest_of(MANIFEST)
    assert found.names == ("docker.io/acme/web:3",)


@pytest.mark.parametrize(
    ("name", "names"), [("latest", ()), ("web:1", ("docker.io/library/web:1",))]
)
def test_a_bare_word_is_no_name(name: str, names: tuple[str, ...]) -> None:
    annotations = {"org.opencontainers.image.ref.name": name}

    assert only(layout(blob(MANIFEST, annotations=annotations))).names == names


def test_modern_docker_save_has_both_and_the_layout_decides() -> None:
    files = layout() | {
        "manifest.json": json.dumps(
            [{"Config": f"blobs/sha256/{digest_of(CONFIG)[7:]}", "RepoTags": ["web:9"]}]
        ).encode()
    }

    found = only(files)

    assert found.digest == digest_of(MANIFEST)
    assert found.names == ("docker.io/library/web:9",)


def test_an_index_of_which_one_platform_was_saved_is_found_by_its_own_digest() -> None:
    index = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                {"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": OCI_MANIFEST}
                | {"platform": {"os": "linux", "architecture": "arm64"}},
                blob(MANIFEST, mediaType=OCI_MANIFEST)
                | {"platform": {"os": "linux", "architecture": "amd64"}},
            ],
        }
    ).encode()

    found = only(layout(blob(index, mediaType=OCI_INDEX), blobs=(index,)))

    assert found.digest == digest_of(index)
    assert found.manifest == digest_of(MANIFEST)
    assert set(found.documents) == {digest_of(index), digest_of(MANIFEST), digest_of(CONFIG)}


def test_another_platform_only_is_missing_and_says_what_there_is() -> None:
    entry = blob(MANIFEST, platform={"os": "linux", "architecture": "s390x"})

    found = refusal(layout(entry))

    assert isinstance(found, Missing)
    assert found.hint == "it holds linux/s390x"


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({"etc/passwd": b"root"}, "not an image archive"),
        (saved() | {"manifest.json": b"[]"}, "lists no image"),
        (saved() | {"manifest.json": b"[{]"}, "manifest.json"),
        (saved() | {"manifest.json": b"no"}, "manifest.json is not JSON"),
        (saved(Config="other.json"), "manifest.json[0].Config: 'other.json' is not in it"),
        (saved(Layers=["9/layer.tar"]), "manifest.json[0].Layers: '9/layer.tar' is not in it"),
        (saved(Layers=[]), "0 layers, but its config lists 1"),
        (saved("Bad:Tag"), "RepoTags: image 'Bad:Tag'"),
        (saved() | {"c.json": b'{"rootfs": {"diff_ids": [1]}}'}, "$.rootfs.diff_ids[0]"),
        (layout() | {"index.json": MANIFEST}, "index.json is a manifest"),
        (layout() | {"index.json": b'{"schemaVersion": 2, "manifests": []}'}, "lists no image"),
        (layout(blob(b"{}")), "is not in it"),
        (layout(blob(MANIFEST) | {"size": 1}), "expected 1 bytes"),
        (
            layout() | {f"blobs/sha256/{digest_of(LAYER)[7:]}": b"damaged"},
            f"expected {digest_of(LAYER)}, actual {digest_of(b'damaged')}",
        ),
    ],
)
def test_a_broken_archive_is_refused_and_says_where(files: dict[str, bytes], part: str) -> None:
    found = refusal(files)

    assert isinstance(found, Invalid)
    assert part in found.message
