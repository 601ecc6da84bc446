"""Names lead to images, tags move, and removal and garbage take only what may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agent.images.garbage import collect
from agent.images.index import (
    Index,
    Record,
    decode,
    encode,
    find,
    find_used,
    name_of,
    put,
    tag,
)
from agent.images.shipping import pushed
from swarm.errors import Invalid, Missing
from swarm.images.reference import parse_reference


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def record(letter: str, *names: str, manifest: str = "", identity: str = "") -> Record:
    return Record(
        id=digest(identity or letter),
        digest=digest(letter),
        manifest=digest(manifest or letter),
        blobs=(digest(letter),),
        diff_ids=(digest(letter),),
        size_bytes=1,
        created_at=0.0,
        local=False,
        names=tuple(str(parse_reference(name).with_default_tag()) for name in names),
    )


def index(*records: Record) -> Index:
    found = Index()
    for each in records:
        found = put(found, each)
    found.check()
    return found


def test_an_image_is_found_by_every_way_to_say_it() -> None:
    images = index(record("a", "web:1", manifest="b", identity="c"), record("d", "db"))

    for text in ("web:1", "docker.io/library/web:1", digest("a"), digest("b"), digest("c")):
        assert find(images, text).digest == digest("a")
    for text in (f"web@{digest('a')}", f"other:9@{digest('b')}", "cccc", "sha256:cccccc"):
        assert find(images, text).digest == digest("a")


def test_a_name_wins_over_the_start_of_an_id() -> None:
    images = index(record("a", "dddd"), record("d", "x"))

    assert find(images, "dddd").digest == digest("a")


@pytest.mark.parametrize("text", ["web", "web:2", "eeee", digest("e"), f"web@{digest('e')}"])
def test_what_is_not_here_is_missing(text: str) -> None:
    with pytest.raises(Missing, match="No such image"):
        find(index(record("a", "web:1")), text)


def test_an_ambiguous_id_is_refused_with_the_candidates() -> None:
    first, second = record("a"), record("b")
    images = Index((first, Record(**{**to_dict(second), "id": "sha256:aaaa" + "b" * 60})))

    with pytest.raises(Invalid, match="ambiguous: aaaaaaaaaaaa, aaaabbbbbbbb"):
        find(images, "aaaa")


def to_dict(found: Record) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def test_a_tag_moves_and_leaves_the_old_image_nameless() -> None:
    images = index(record("a", "web:1"), record("b", "web:1"))

    assert find(images, "web:1").digest == digest("b")
    assert find(images, digest("a")).names == ()


def test_a_pull_by_digest_is_called_by_it() -> None:
    pinned = parse_reference(f"web:1@{digest('b')}")

    assert name_of(pinned, digest("a")) == f"docker.io/library/web@{digest('a')}"
    assert name_of(parse_reference("web"), digest("a")) == "docker.io/library/web:latest"


def test_tags_are_shown_before_digests() -> None:
    image = record("a", f"web@{digest('a')}", "web:2", "acme/web:1").to_image()

    assert image.references == ("acme/web:1", "web:2", f"web@{digest('a')}")


def test_an_unreadable_index_is_refused() -> None:
    with pytest.raises(Invalid, match="image index"):
        decode(b'{"images": [{}]}')


records = st.builds(
    record,
    st.sampled_from("abcd"),
    st.sampled_from(["web:1", "web:2", "db:1"]),
)


@given(st.lists(records))
def test_law_a_tag_belongs_to_the_last_image_that_got_it(history: list[Record]) -> None:
    images = index(*history)

    assert decode(encode(images)) == images
    for each in history:
        last = next(late for late in reversed(history) if set(late.names) & set(each.names))
        assert find(images, each.names[0]).digest == last.digest


def test_tagging_keeps_the_other_names() -> None:
    images = tag(index(record("a", "web:1")), "web:1", "docker.io/library/web:2", now=5.0)

    assert find(images, "web:2").tagged_at == 5.0
    assert find(images, "web:1") == find(images, "web:2")


def test_the_digest_of_a_push_means_the_image_too() -> None:
    images = pushed(
        index(record("a", "web:1")), digest("a"), "docker.io/library/web:1", digest("b")
    )

    image = find(images, digest("b"))

    assert image.digest == digest("a")
    assert image.to_image().references == ("web:1", f"web@{digest('b')}")
    assert pushed(images, digest("a"), "docker.io/library/web:1", digest("b")) == images


def test_a_removed_image_is_found_by_its_id_alone_and_by_those_that_use_it() -> None:
    gone = structs.replace(record("a"), is_removed=True)
    images = Index((gone,))

    assert find_used(images, digest("a")) == gone
    for text in (digest("a"), "aaaa"):
        with pytest.raises(Missing):
            find(images, text)
    assert not find(put(images, record("a", "web:1")), "web:1").is_removed


def test_garbage_is_nobody_that_an_image_was_made_from() -> None:
    images = Index(
        (
            record("a"),
            structs.replace(record("b"), parent=digest("a")),
            structs.replace(record("c", "web:1"), parent=digest("b")),
            record("d"),
        )
    )

    garbage = collect(images, blobs=(), layers=(), held=(), in_use=())

    assert garbage.images == (digest("d"),)


letters = st.sets(st.sampled_from("abcdef"))


@given(letters, letters, letters, letters, letters)
def test_law_garbage_is_what_nobody_needs_and_all_of_it(
    named: set[str], nameless: set[str], here: set[str], held: set[str], used: set[str]
) -> None:
    images = index(
        *(record(letter, f"{letter}:1") for letter in sorted(named)),
        *(record(letter) for letter in sorted(nameless - named)),
    )
    content = {digest(letter) for letter in here}

    garbage = collect(
        images,
        blobs=content,
        layers=content,
        held={digest(letter) for letter in held},
        in_use={digest(letter) for letter in used},
    )

    kept = named | (nameless & used)
    assert set(garbage.images) == {digest(letter) for letter in nameless - named - used}
    assert set(garbage.blobs) == {digest(letter) for letter in here - kept - held}
    assert garbage.layers == garbage.blobs
