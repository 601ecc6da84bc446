"""Image names read as Docker reads them, and every name reads back as itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.images.reference import Reference, parse_reference

DIGEST = "sha256:" + "ab" * 32

components = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-)[a-z0-9]{1,4}){0,2}", fullmatch=True)
registries = st.sampled_from(
    ["docker.io", "localhost", "localhost:5000", "quay.io", "127.0.0.1:5000", "[::1]:5000", "Reg"]
)
repositories = st.lists(components, min_size=2, max_size=4).map("/".join)
tags = st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
references = st.builds(
    Reference, registries, repositories, tags, st.sampled_from(["", DIGEST])
) | st.builds(Reference, st.just("docker.io"), components.map("library/{}".format), tags)


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("busybox", "docker.io", "library/busybox", "", ""),
        ("busybox:1.36", "docker.io", "library/busybox", "1.36", ""),
        ("acme/web", "docker.io", "acme/web", "", ""),
        ("docker.io/busybox", "docker.io", "library/busybox", "", ""),
        ("index.docker.io/acme/web:x", "docker.io", "acme/web", "x", ""),
        ("localhost/web", "localhost", "web", "", ""),
        ("localhost:5000/a/b:tag@" + DIGEST, "localhost:5000", "a/b", "tag", DIGEST),
        ("quay.io/a/b@" + DIGEST, "quay.io", "a/b", "", DIGEST),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b", ""),
        ("a/b/c", "docker.io", "a/b/c", "", ""),
        ("localhost", "docker.io", "library/localhost", "", ""),
        ("Reg/a", "Reg", "a", "", ""),
    ],
)
def test_names_read_as_docker_reads_them(
    text: str, registry: str, repository: str, tag: str, digest: str
) -> None:
    assert parse_reference(text) == Reference(registry, repository, tag, digest)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no name"),
        (":latest", "has no name"),
        ("Busybox", "must be lower case"),
        ("a/B", "must be lower case"),
        ("busybox:-x", "tag '-x'"),
        ("busybox:" + "x" * 129, "tag 'xxx"),
        ("busybox@sha256:12", "digest"),
        ("busybox@md5:" + "a" * 32, "digest"),
        ("a//b", "''"),
        ("/a", "''"),
        ("a..b", "'a..b'"),
        ("a b", "'a b'"),
        ("localhost:port/a", "registry 'localhost:port'"),
        ("a" * 64, "64 hexadecimal"),
        ("a/" * 130 + "a", "longer than 255"),
        ("busybox\n", "busybox\\n"),
    ],
)
def test_a_bad_name_is_refused_and_says_which_part(text: str, part: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_reference(text)

    assert part in refusal.value.message


@given(references)
def test_law_every_reference_reads_back_from_both_of_its_spellings(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference


@given(references)
def test_law_the_familiar_name_is_never_longer(reference: Reference) -> None:
    assert len(reference.familiar) <= len(str(reference))


@given(st.text(alphabet="ab/:.@-_A[]1", max_size=30))
def test_law_any_text_is_a_reference_or_a_clear_refusal(text: str) -> None:
    outcome: Reference | Invalid
    try:
        outcome = parse_reference(text)
    except Invalid as err:
        outcome = err

    if isinstance(outcome, Invalid):
        assert repr(text)[1:-1] in outcome.message
    else:
        assert parse_reference(str(outcome)) == outcome


def test_official_images_are_shown_by_their_short_name() -> None:
    assert parse_reference("docker.io/library/busybox:1").familiar == "busybox:1"
    assert parse_reference("docker.io/localhost/x").familiar == "docker.io/localhost/x"


def test_a_reference_without_tag_and_digest_means_latest() -> None:
    assert str(parse_reference("busybox").with_default_tag()) == "docker.io/library/busybox:latest"
    pinned = parse_reference("busybox@" + DIGEST)
    assert pinned.with_default_tag() == pinned
