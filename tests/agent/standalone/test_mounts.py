from itertools import count

import pytest

from agent.standalone.mounts import Mounts, bind, gathered, lender, lent, memory, modes
from runtime import spec as runtime
from swarm.errors import Invalid
from swarm.specs import ContainerSpec, Mount, MountKind
from swarm.standalone import StandaloneSpec


def gather(
    *mounts: Mount, lent: tuple[Mount, ...] = (), image: tuple[str, ...] = (), **fields: object
) -> Mounts:
    numbers = count(1)
    spec = StandaloneSpec(container=ContainerSpec(mounts=mounts), **fields)
    return gathered(spec, image, lent, lambda: f"made{next(numbers)}")


def sources(found: Mounts) -> dict[str, str]:
    return {each.target: each.source for each in found.mounts}


def test_a_bind_is_a_path_that_is_made_or_a_volume() -> None:
    assert bind("/host:/in:ro,rslave") == Mount(
        kind=MountKind.BIND, source="/host", target="/in", read_only=True, propagation="rslave",
        create_source=True,
    )  # fmt: skip
    assert bind("data:/in:nocopy,z", "local") == Mount(
        source="data", target="/in", nocopy=True, volume_driver="local"
    )


@pytest.mark.parametrize(
    "text",
    ["/only", "a:b", "/a:/", "/a:/..", "./a:/b", "/a:/b:ro,rw", "/a:/b:odd", "a:/b:rshared",
     "/a:/b:nocopy", "/a:/b:rw:x", ":/b", "/a:", "", "a b:/c"],
)  # fmt: skip
def test_what_is_no_bind_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="invalid"):
        bind(text)


def test_the_nearer_wish_counts() -> None:
    """Others' volumes, then `-v` and `--mount`, and last what the image wants."""
    found = gather(
        Mount(source="mine", target="/b"),
        lent=(Mount(source="theirs", target="/a"), Mount(source="theirs", target="/b")),
        binds=("own:/c",),
        volumes=("/a", "/d/"),
        image=("/c", "/e"),
    )
    assert sources(found) == {
        "/a": "theirs", "/b": "mine", "/c": "own", "/d/": "made1", "/e": "made2",
    }  # fmt: skip
    assert found.own_volumes == ("made1", "made2")


def test_parents_come_before_what_is_in_them() -> None:
    found = gather(binds=("a:/x/y", "b:/x"), image=("/x/y/z",))
    assert [each.target for each in found.mounts] == ["/x", "/x/y", "/x/y/z"]


def test_one_path_is_mounted_over_once() -> None:
    with pytest.raises(Invalid, match="Duplicate mount point: /x/"):
        gather(Mount(source="a", target="/x/"), binds=("b:/x",))
    with pytest.raises(Invalid, match="Duplicate mount point"):
        gather(binds=("b:/x",), tmpfs={"/x": ""})


def test_memory_keeps_the_image_s_volume_away_and_is_no_mount_of_the_record() -> None:
    assert gather(image=("/x",), tmpfs={"/x": "size=1m"}) == Mounts(mounts=(), own_volumes=())


def test_options_of_memory_are_read_or_passed_on() -> None:
    assert memory("/x", "size=64k,mode=700,ro,noexec,uid=5,size=10%") == runtime.Mount(
        kind=runtime.MountKind.TMPFS, target="/x", read_only=True, size_bytes=65536, mode=0o700,
        options=("noexec", "uid=5", "size=10%"),
    )  # fmt: skip
    with pytest.raises(Invalid, match="mode=abc"):
        memory("/x", "mode=abc")


def test_volumes_are_lent_as_they_are_or_read_only() -> None:
    own = (Mount(source="v", target="/v"), Mount(kind=MountKind.TMPFS, target="/t"))
    assert tuple(lent(own, "")) == own[:1]
    assert [each.read_only for each in lent(own, "ro")] == [True]


def test_who_lends_is_named_with_a_mode() -> None:
    assert lender("web") == ("web", "")
    assert lender("web:ro,z") == ("web", "ro")
    for text in ("", ":ro", "web:rx", "web:ro,rw"):
        with pytest.raises(Invalid):
            lender(text)


def test_modes_are_shown_as_they_were_written() -> None:
    assert modes(StandaloneSpec(binds=("/a:/b:ro,z", "v:/c/"))) == {"/b": "ro,z", "/c": ""}
