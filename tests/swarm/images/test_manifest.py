"""Manifests and indexes are read whole or refused with the place of the fault."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid, Missing
from swarm.images.manifest import (
    DOCKER_INDEX,
    OCI_MANIFEST,
    Index,
    Manifest,
    choose,
    parse_document,
)
from swarm.images.platform import Platform, platform_of, suits

DIGEST = "sha256:" + "ab" * 32
ENTRY = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 3}


def manifest(**changes: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": ENTRY, "layers": [ENTRY]} | changes).encode()


def index(*platforms: str, **changes: object) -> Index:
    entries = []
    for number, text in enumerate(platforms):
        os, architecture, *variant = text.split("/")
        entry = ENTRY | {"digest": f"sha256:{number:064x}"}
        entry["platform"] = {"os": os, "architecture": architecture, "variant": "".join(variant)}
        entries.append(entry | changes)
    body = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": entries})
    found = parse_document(body.encode())
    assert isinstance(found, Index)
    return found


def test_a_manifest_says_what_it_costs_to_download() -> None:
    found = parse_document(manifest())

    assert isinstance(found, Manifest)
    assert found.size_bytes == 6


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "Expected `object`"),
        (b'{"schemaVersion": 1}', "schema 1"),
        (b'{"schemaVersion": 3}', "schemaVersion: must be 2, is 3"),
        (b'{"schemaVersion": 2}', "config"),
        (manifest(config=ENTRY | {"digest": "sha256:xx"}), "config[0].digest"),
        (manifest(layers=[ENTRY, ENTRY | {"digest": "../../etc"}]), "layers[1].digest"),
        (manifest(layers=[ENTRY | {"size": -1}]), "layers[0].size"),
        (manifest(layers=[ENTRY | {"size": "3"}]), "$.layers[0].size"),
        (manifest(layers=[ENTRY] * 501), "501 layers"),
        (b" " * ((4 << 20) + 1), "more than the"),
    ],
)
def test_a_broken_manifest_is_refused_with_the_place_of_the_fault(body: bytes, part: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_document(body)

    assert part in refusal.value.message


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["schemaVersion", "config", "layers", "manifests", "digest", "size"]
                ),
                x,
            )
        ),
    )
)
def test_law_any_json_is_a_document_or_a_refusal(value: object) -> None:
    if isinstance(value, dict):
        value["schemaVersion"] = 2

    refusal: Invalid | None = None
    try:
        parse_document(json.dumps(value).encode())
    except Invalid as err:
        refusal = err

    assert refusal is None or refusal.message.startswith("manifest: ")


def test_the_index_entry_of_this_platform_is_chosen() -> None:
    found = choose(index("linux/arm64/v8", "linux/amd64", "windows/amd64"), platform_of("x86_64"))

    assert found.platform == Platform("linux", "amd64")


def test_the_best_variant_not_above_ours_is_chosen() -> None:
    found = choose(
        index("linux/arm/v5", "linux/arm/v7", "linux/arm/v6"), Platform("linux", "arm", "v6")
    )

    assert found.platform is not None
    assert found.platform.variant == "v6"
    assert not suits(Platform("linux", "arm", "v7"), Platform("linux", "arm", "v6"))


def test_a_missing_platform_names_those_on_offer() -> None:
    offered = index("linux/arm64", "linux/s390x", "unknown/unknown")

    with pytest.raises(Missing) as refusal:
        choose(offered, Platform("linux", "amd64"), what="image web")

    assert refusal.value.message == "image web has no image for linux/amd64"
    assert refusal.value.hint == "it is offered for linux/arm64, linux/s390x"


def test_attestations_are_not_images() -> None:
    attested = index(
        "linux/amd64", annotations={"vnd.docker.reference.type": "attestation-manifest"}
    )

    with pytest.raises(Missing):
        choose(attested, Platform("linux", "amd64"))
