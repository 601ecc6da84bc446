"""Images as clients read them, and which of them they select."""

import base64
import json

import pytest

from engine import progress
from engine.images import inspection, listing, moving, names
from engine.versions import LATEST, Version
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing
from swarm.images.reference import parse_reference

NOW = 1_700_000_000.0


def image(letter: str, *references: str, **fields: object) -> pb.Image:
    return pb.Image(
        id=f"sha256:{letter * 64}", digest=f"sha256:{'d' * 64}", references=references,
        created_at=NOW - 100, size_bytes=10, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def test_tags_and_digests_are_told_apart() -> None:
    pulled = image("a", "busybox:1", "localhost:5000/x:2")
    assert names.tags(pulled) == ["busybox:1", "localhost:5000/x:2"]
    assert names.digests(pulled) == [
        f"busybox@sha256:{'d' * 64}", f"localhost:5000/x@sha256:{'d' * 64}",
    ]  # fmt: skip
    assert names.digests(image("a", "busybox:1", local=True)) == []


def test_what_has_no_name_was_once_called_none() -> None:
    assert names.shown(image("a"), LATEST) == ([], [])
    assert names.shown(image("a"), Version(1, 42)) == (["<none>:<none>"], ["<none>@<none>"])


def test_filters_select_images() -> None:
    old, new = image("a", "busybox:1", labels={"x": "1"}), image("b", "repo/app:2")
    old.created_at = NOW - 9000
    loose, parent = image("c"), image("e")
    new.parent_id = parent.id
    everything = [new, old, loose, parent]

    def chosen(every: bool = False, **filters: tuple[str, ...]) -> list[str]:
        found = listing.choose(everything, filters, every=every, now=NOW)
        return [each.id[7] for each in found]

    assert chosen() == ["b", "a", "c"]
    assert chosen(every=True) == ["b", "a", "c", "e"]
    assert chosen(dangling=("true",)) == ["c"]
    assert chosen(dangling=("false",)) == ["b", "a"]
    assert chosen(label=("x=1",)) == ["a"]
    assert chosen(before=("repo/app:2",)) == ["a"]
    assert chosen(since=("busybox:1",)) == ["b", "c"]
    assert chosen(until=("1h",)) == ["a"]
    assert chosen(reference=("busy*",)) == ["a"]
    assert chosen(reference=("*",)) == ["a"]
    assert chosen(reference=("repo/*:2", "busybox")) == ["b", "a"]
    with pytest.raises(Missing):
        chosen(before=("nope",))
    with pytest.raises(Invalid):
        chosen(name=("x",))


def test_pruning_takes_nameless_ones_unless_asked_for_all() -> None:
    named, loose = image("a", "busybox:1"), image("b", labels={"keep": ""})

    assert listing.to_prune([named, loose], {}, now=NOW) == [loose.id]
    assert listing.to_prune([named, loose], {"dangling": ("false",)}, now=NOW) == [
        named.id, loose.id,
    ]  # fmt: skip
    assert listing.to_prune([named, loose], {"label!": ("keep",)}, now=NOW) == []
    assert listing.to_prune([named, loose], {"until": ("1h",)}, now=NOW) == []


CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "author": "me",
    "config": {"Cmd": ["sh"], "Env": ["A=1"], "Labels": {"x": "y"}},
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"]},
    "history": [
        {"created": "2024-01-01T00:00:00Z", "created_by": "ADD x"},
        {"created": "2024-01-02T00:00:00Z", "created_by": "CMD sh", "empty_layer": True},
    ],
}


def inspected() -> pb.InspectImageResponse:
    return pb.InspectImageResponse(
        image=image("a", "busybox:1"), config_json=json.dumps(CONFIG).encode(),
        layer_bytes=[7, 5], layer_directories=["/low", "/top"],
    )  # fmt: skip


def test_an_inspection_has_the_config_as_it_was_written() -> None:
    shown = inspection.write_inspection(inspected(), version=LATEST)

    assert shown["Config"]["Cmd"] == ["sh"]
    assert shown["Config"]["Entrypoint"] is None
    assert shown["RootFS"]["Layers"] == CONFIG["rootfs"]["diff_ids"]  # type: ignore[index]
    assert shown["GraphDriver"]["Data"] == {"UpperDir": "/top", "LowerDir": "/low"}
    assert "VirtualSize" not in shown
    assert "VirtualSize" in inspection.write_inspection(inspected(), version=Version(1, 43))


def test_compose_finds_a_container_config_whatever_it_speaks() -> None:
    for version in (Version(1, 41), LATEST):
        shown = inspection.write_inspection(inspected(), version=version)
        assert shown["ContainerConfig"]["Volumes"] is None
    assert "Container" not in shown


def test_a_history_begins_with_layers_of_which_nobody_tells() -> None:
    shown = inspection.write_history(inspected())

    assert [(each["CreatedBy"], each["Size"]) for each in shown] == [
        ("CMD sh", 0), ("ADD x", 5), ("", 7),
    ]  # fmt: skip
    assert shown[0]["Id"] == f"sha256:{'a' * 64}"
    assert shown[0]["Tags"] == ["busybox:1"]
    assert shown[2]["Id"] == "<missing>"


def test_all_tags_of_a_repository_are_pushed_unless_one_is_named() -> None:
    images = [image("a", "r:5000/x:1", "r:5000/x:2", "other:1")]

    assert [str(each) for each in moving.repository_tags(images, "r:5000/x", "")] == [
        "r:5000/x:1", "r:5000/x:2",
    ]  # fmt: skip
    assert [str(each) for each in moving.repository_tags(images, "r:5000/x", "2")] == ["r:5000/x:2"]
    with pytest.raises(Missing):
        moving.repository_tags(images, "nope", "")


def test_a_pull_says_whether_anything_was_new() -> None:
    reference = parse_reference("busybox:1")
    found = image("a")

    assert list(moving.newness(reference, found, found.id))[1] == (
        "Status: Image is up to date for busybox:1"
    )
    assert list(moving.newness(reference, found, ""))[1] == (
        "Status: Downloaded newer image for busybox:1"
    )


def test_images_of_another_platform_are_refused() -> None:
    moving.check_platform("")
    moving.check_platform("linux")
    with pytest.raises(Invalid, match="platform"):
        moving.check_platform("windows/amd64")
    with pytest.raises(
        Invalid, match=r"unknown operating system or architecture: invalid argument"
    ):
        moving.check_platform("foo")


def test_a_header_that_is_no_login_stands_for_nobody() -> None:
    given = base64.urlsafe_b64encode(b'{"username": "me", "password": "x"}').decode()
    assert moving.login(given) == given
    for text in ("", "placeholder", "123", "bnVsbA==", "é"):
        assert moving.login(text) == ""


def test_an_absent_image_is_named_with_its_tag() -> None:
    assert names.absent("busybox").message == "No such image: busybox:latest"
    assert names.absent("UPPER CASE").message == "No such image: UPPER CASE"


def test_progress_has_bars_while_there_is_something_to_come() -> None:
    line = progress.pulling(f"sha256:{'a' * 64}", "downloading", 500, 1000)

    assert line["id"] == "a" * 12
    assert line["status"] == "Downloading"
    assert line["progressDetail"] == {"current": 500, "total": 1000}
    assert line["progress"] == f"[{'=' * 25}>{' ' * 25}]     500B/1kB"
    assert progress.pushing("x", "exists", 0, 0) == {
        "status": "Layer already exists", "progressDetail": {}, "id": "x",
    }  # fmt: skip
