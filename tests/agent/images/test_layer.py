"""What a layer's entries do, and what they are refused for."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.images.layer import (
    Cover,
    Describe,
    Effect,
    Entry,
    Hide,
    Kind,
    Layer,
    Make,
    MakeParent,
    Remove,
    split_name,
)
from agent.images.stacking import stack
from swarm.errors import Invalid


def directory(name: str) -> Entry:
    return Entry(name, Kind.DIRECTORY)


def file(name: str) -> Entry:
    return Entry(name, Kind.FILE)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, Kind.SYMLINK, target)


def hardlink(name: str, target: str) -> Entry:
    return Entry(name, Kind.HARDLINK, target)


def effects(*entries: Entry) -> list[Effect]:
    layer = Layer()
    return [effect for entry in entries for effect in layer.step(entry)]


def test_a_missing_parent_is_made() -> None:
    assert effects(file("a/b/c")) == [MakeParent("a"), MakeParent("a/b"), Make("a/b/c")]


def test_a_directory_that_comes_after_its_content_is_only_described() -> None:
    assert effects(file("a/b"), directory("a/"))[-1] == Describe("a")


def test_the_root_can_be_described() -> None:
    assert effects(directory("./")) == [Describe("")]


def test_a_whiteout_hides_the_name() -> None:
    assert effects(file("a/.wh.b")) == [MakeParent("a"), Hide("a/b")]


def test_an_opaque_mark_covers_its_directory() -> None:
    assert effects(directory("a"), file("a/.wh..wh..opq")) == [Make("a"), Cover("a")]


@pytest.mark.parametrize(
    "entries",
    [(file(".wh.a"), directory("a")), (directory("a"), file(".wh.a"))],
    ids=["deleted first", "made first"],
)
def test_a_deleted_and_remade_directory_covers_the_old_one_in_either_order(
    entries: tuple[Entry, ...],
) -> None:
    assert Cover("a") in effects(*entries)


def test_a_whiteout_does_not_hide_what_its_own_layer_adds() -> None:
    assert effects(file("a"), file(".wh.a")) == [Make("a")]
    assert effects(file(".wh.a"), file("a")) == [Hide("a"), Remove("a"), Make("a")]


def test_an_opaque_root_ends_the_stack() -> None:
    layer = Layer()

    layer.step(file(".wh..wh..opq"))

    assert layer.covers_root


def test_aufs_bookkeeping_is_skipped() -> None:
    assert effects(file(".wh..wh.aufs"), file(".wh..wh.plnk/1"), file("a/.wh..wh.x")) == [
        MakeParent("a")
    ]


def test_the_last_of_two_entries_with_one_name_wins() -> None:
    assert effects(file("a"), symlink("a", "b")) == [Make("a"), Remove("a"), Make("a")]
    assert effects(symlink("a", "b"), directory("a")) == [Make("a"), Remove("a"), Make("a")]


def test_a_relative_link_within_the_layer_is_followed() -> None:
    found = effects(directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x"))

    assert found[-1] == Make("usr/lib/x")


def test_an_absolute_link_may_exist() -> None:
    assert effects(symlink("etc/mtab", "/proc/mounts"))[-1] == Make("etc/mtab")


def test_a_hard_link_knows_where_its_target_is() -> None:
    found = effects(directory("usr"), symlink("u", "usr"), file("usr/a"), hardlink("b", "u/a"))

    assert found[-1] == Make("b", "usr/a")


def test_a_hard_link_to_itself_changes_nothing() -> None:
    assert effects(file("a"), hardlink("a", "./a")) == [Make("a")]


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ((file("../evil"),), "leaves the archive with '..'"),
        ((file("a/../../evil"),), "leaves the archive with '..'"),
        ((hardlink("x", "../etc/passwd"),), "leaves the archive with '..'"),
        ((hardlink("x", "/etc/passwd"),), "not a file of this layer"),
        ((hardlink("x", "missing"),), "not a file of this layer"),
        ((directory("d"), hardlink("x", "d")), "not a file of this layer"),
        ((file(".wh.d"), hardlink("x", "d")), "not a file of this layer"),
        ((hardlink("x", "/"),), "hard link to the root"),
        ((file("d/a"), hardlink("d", "d/a")), "replaces what holds"),
        ((symlink("l", "/etc"), file("l/passwd")), "absolute symbolic link 'l' -> '/etc'"),
        ((symlink("l", "/etc"), hardlink("x", "l/passwd")), "absolute symbolic link"),
        ((symlink("l", ".."), file("l/passwd")), "leaves the layer through a symbolic link"),
        ((symlink("a/l", "../../etc"), file("a/l/passwd")), "leaves the layer through"),
        ((symlink("a", "l/.."), symlink("l", "/"), file("a/x")), "absolute symbolic link"),
        ((symlink("a", "b"), symlink("b", "a"), file("a/x")), "too many symbolic links"),
        ((file("a"), file("a/b")), "'a' is not a directory"),
        ((file("/"),), "the root must be a directory"),
        ((file(""),), "has no name"),
        ((file("a\0b"),), "zero byte"),
        ((file("n" * 256),), "too long"),
        ((file("d/" * 2100 + "x"),), "too long"),
        ((file(".wh."),), "names nothing"),
        ((file(".wh..."),), "names nothing"),
        ((file(".wh.a/b"),), "a whiteout cannot hold files"),
        ((symlink("l", ""),), "not a path"),
        ((symlink("l", "x" * 5000),), "not a path"),
    ],
)
def test_a_malicious_entry_is_refused(entries: tuple[Entry, ...], part: str) -> None:
    with pytest.raises(Invalid) as refusal:
        effects(*entries)

    assert part in refusal.value.message


def test_a_leading_slash_is_the_root_of_the_layer() -> None:
    assert effects(file("/etc/x")) == [MakeParent("etc"), Make("etc/x")]


# A model of both sides: what a sequence of layers means (OCI image specification), and what
# overlayfs makes of the effects. They must agree on every file that a container sees.

NAMES = ("a", "b")
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
changes = st.one_of(
    st.builds(lambda name: ("add", name), names),
    st.builds(lambda name: ("mkdir", name), names),
    st.builds(lambda name: ("delete", name), names),
    st.builds(lambda name: ("opaque", name), names),
)
layers = st.lists(st.lists(changes, max_size=6), min_size=1, max_size=4)

Tree = dict[str, str]


def to_entry(change: tuple[str, str]) -> Entry:
    what, name = change
    parent, slash, last = name.rpartition("/")
    match what:
        case "add":
            return file(name)
        case "mkdir":
            return directory(name)
        case "delete":
            return file(f"{parent}{slash}.wh.{last}")
        case _:
            return file(f"{name}/.wh..wh..opq")


def unpacked(layer: Iterable[tuple[str, str]], mark: str) -> tuple[Tree, set[str]]:
    """The directory that the effects leave: what is at each path, and which are opaque."""
    machine, tree, opaque = Layer(), {}, set()
    for change in layer:
        entry = to_entry(change)
        try:
            found = machine.step(entry)
        except Invalid:
            machine = rebuilt(tree, opaque)  # a file where a directory has to be: not our topic
            continue
        for effect in found:
            match effect:
                case Make(path):
                    tree[path] = "dir" if entry.kind is Kind.DIRECTORY else mark
                case MakeParent(path):
                    tree[path] = "dir"
                case Hide(path):
                    tree[path] = "hidden"
                case Cover(path):
                    assert tree[path] == "dir"
                    opaque.add(path)
                case Remove(path):
                    gone = {path} | {other for other in tree if other.startswith(path + "/")}
                    tree = {kept: what for kept, what in tree.items() if kept not in gone}
                    opaque -= gone
                case Describe(path):
                    assert tree[path] == "dir"
    return tree, opaque


def rebuilt(tree: Tree, opaque: set[str]) -> Layer:
    layer = Layer()
    for path, what in tree.items():
        change = {"dir": "mkdir", "hidden": "delete"}.get(what, "add")
        layer.step(to_entry((change, path)))
    for path in opaque:
        layer.step(to_entry(("opaque", path)))
    return layer


def overlay(stacked: list[tuple[Tree, set[str]]]) -> Tree:
    """What overlayfs shows of layers, the lowest first."""
    merged: Tree = {}
    for tree, opaque in stacked:
        for path in sorted(tree):
            below = {other for other in merged if other.startswith(path + "/")}
            was_directory = merged.get(path) == "dir"
            if tree[path] != "dir" or not was_directory or path in opaque:
                for other in below:
                    del merged[other]
            if tree[path] == "hidden":
                merged.pop(path, None)
            else:
                merged[path] = tree[path]
    return merged


def meaning(all_layers: list[list[tuple[str, str]]]) -> Tree:
    """What the layers mean: deletions apply to what was below, additions come on top."""
    merged: Tree = {}
    for number, layer in enumerate(all_layers):
        added, _ = unpacked(layer, f"file {number}")
        for what, name in layer:
            doomed = name + "/" if what == "opaque" else name
            if what in ("delete", "opaque") and reaches(added, what, name):
                merged = {
                    kept: value
                    for kept, value in merged.items()
                    if not (kept.startswith(doomed) and (kept + "/").startswith(name + "/"))
                }
        for path in sorted(added):
            if added[path] == "hidden":
                continue
            if added[path] != "dir" or merged.get(path) != "dir":
                for other in [kept for kept in merged if kept.startswith(path + "/")]:
                    del merged[other]
            merged[path] = added[path]
    return merged


def reaches(added: Tree, what: str, name: str) -> bool:
    """Whether a deletion took place: its parents were directories of the layer."""
    parents = name.split("/")[: None if what == "opaque" else -1]
    return all(
        added.get("/".join(parents[:depth])) == "dir" for depth in range(1, len(parents) + 1)
    )


@settings(max_examples=400)
@given(layers)
@example([[("add", "a/b")], [("delete", "a"), ("add", "a/c")]])
@example([[("add", "a/b")], [("delete", "a"), ("mkdir", "a")]])
@example([[("add", "a/b")], [("opaque", "a"), ("add", "a/c")]])
def test_law_overlayfs_shows_what_the_layers_mean(
    all_layers: list[list[tuple[str, str]]],
) -> None:
    consistent = [without_conflicts(layer) for layer in all_layers]

    shown = overlay([unpacked(layer, f"file {n}") for n, layer in enumerate(consistent)])

    assert shown == meaning(consistent)


def without_conflicts(layer: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Drop changes of and below a name that this layer makes a file of."""
    files = {name for what, name in layer if what == "add"}
    return [
        (what, name)
        for what, name in layer
        if what == "add" or name not in files
        if not any(name.startswith(other + "/") for other in files)
    ]


@given(layers, st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_law_a_repeated_layer_counts_only_where_it_is_topmost(
    kinds: list[list[tuple[str, str]]], order: list[int]
) -> None:
    built = [unpacked(layer, f"file {number}") for number, layer in enumerate(kinds)]
    ids = [str(number % len(built)) for number in order]

    whole = overlay([built[int(name)] for name in ids])
    reduced = overlay([built[int(name)] for name in reversed(stack(ids, ()))])

    assert reduced == whole


def test_a_covering_layer_is_the_last_of_the_stack() -> None:
    assert stack(("a", "b", "c"), {"b"}) == ("c", "b")


hostile = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "/", "l", "m", ".wh.a", ".wh..wh..opq"]),
    min_size=1,
    max_size=5,
).map("/".join)


@given(st.lists(st.builds(Entry, hostile, st.sampled_from(Kind), hostile), max_size=8))
def test_law_no_effect_ever_names_a_link_or_leaves_the_layer(entries: list[Entry]) -> None:
    """Every path that comes out is made of directories that were made before it."""
    layer, made, directories = Layer(), {""}, {""}
    for entry in entries:
        try:
            found = layer.step(entry)
        except Invalid:
            return
        for effect in found:
            assert ".." not in effect.path.split("/")
            assert effect.path.rpartition("/")[0] in directories
            match effect:
                case Make(path, target):
                    assert path not in made
                    assert not target or target in made - directories
                    made.add(path)
                    if entry.kind is Kind.DIRECTORY:
                        directories.add(path)
                case MakeParent(path):
                    assert path not in made
                    made.add(path)
                    directories.add(path)
                case Hide(path):
                    assert path not in made
                    made.add(path)
                case Cover(path) | Describe(path):
                    assert path in directories
                case Remove(path):
                    assert path in made
                    gone = {other for other in made if (other + "/").startswith(path + "/")}
                    made -= gone
                    directories -= gone


@given(st.text(max_size=40))
def test_law_a_name_is_split_into_safe_parts_or_refused(name: str) -> None:
    try:
        parts = split_name(name)
    except Invalid:
        return
    assert all(part not in ("", ".", "..") and "/" not in part for part in parts)
