"""Names lead to images, tags move, and removal and garbage take only what may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.garbage import collect
from agent.images.index import Index, Record, decode, encode, find, name_of, put, tag
from agent.images.removal import Removal, remove
from swarm.errors import Invalid, Missing, Refused
from swarm.images.reference import parse_reference

NOBODY: frozenset[str] = frozenset()


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
    with pytest.raises(Missing, match="is not on this node"):
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
    images = tag(index(record("a", "web:1")), "web:1", "docker.io/library/web:2")

    assert find(images, "web:1") == find(images, "web:2")


def test_removing_one_of_several_tags_keeps_the_image() -> None:
    images, removal = remove(
        index(record("a", "web:1", "web:2")), "web:1", force=False, in_use=NOBODY
    )

    assert removal == Removal(untagged=("web:1",))
    assert find(images, "web:2")


def test_the_image_goes_with_its_last_tag() -> None:
    pinned = f"web@{digest('a')}"

    images, removal = remove(
        index(record("a", "web:1", pinned)), "web:1", force=False, in_use=NOBODY
    )

    assert removal == Removal(untagged=("web:1", pinned), deleted=(digest("a"),))
    assert images == Index()


def test_an_image_in_use_stays_whatever_force() -> None:
    images, in_use = index(record("a", "web:1")), frozenset({digest("a")})

    with pytest.raises(Refused, match="is used by a task"):
        remove(images, "web:1", force=False, in_use=in_use)
    with pytest.raises(Refused, match="is used by a task"):
        remove(images, "aaaa", force=True, in_use=in_use)
    forced, removal = remove(images, "web:1", force=True, in_use=in_use)

    assert removal == Removal(untagged=("web:1",))
    assert find(forced, digest("a")).names == ()


def test_an_id_with_several_tags_wants_force() -> None:
    images = index(record("a", "web:1", "web:2"))

    with pytest.raises(Refused, match="several tags: web:1, web:2"):
        remove(images, "aaaa", force=False, in_use=NOBODY)

    assert remove(images, "aaaa", force=True, in_use=NOBODY)[1].deleted == (digest("a"),)


def test_an_id_takes_every_push_of_the_image() -> None:
    images = index(record("a", "web:1", identity="c"), record("b", "web:2", identity="c"))

    left, removal = remove(images, digest("c"), force=True, in_use=NOBODY)

    assert left == Index()
    assert removal.untagged == ("web:1", "web:2")


@pytest.mark.parametrize("text", ["nothing", "eeee", digest("e")])
def test_removing_what_is_not_here_is_missing(text: str) -> None:
    with pytest.raises(Missing):
        remove(index(record("a", "web:1")), text, force=True, in_use=NOBODY)


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
