"""Mounts are read as Docker's users write them, and nothing in them is ignored."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Mount, MountKind
from swarmctl.mounts import parse_mount


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        (
            "type=bind,source=/x,target=/y,readonly",
            Mount(kind=MountKind.BIND, source="/x", target="/y", read_only=True),
        ),
        (
            "type=bind,src=/x,dst=/y,ro=true,bind-propagation=rslave",
            Mount(
                kind=MountKind.BIND,
                source="/x",
                target="/y",
                read_only=True,
                propagation="rslave",
            ),
        ),
        ("src=data,destination=/d", Mount(source="data", target="/d")),
        ("target=/d,readonly=false", Mount(target="/d")),
        (
            "source=v,target=/d,volume-nocopy,volume-label=a=b,volume-label=c",
            Mount(source="v", target="/d", nocopy=True, labels={"a": "b", "c": ""}),
        ),
        (
            "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777",
            Mount(kind=MountKind.TMPFS, target="/t", tmpfs_size_bytes=64 << 20, tmpfs_mode=0o1777),
        ),
        (
            "src=v,dst=/d,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=x,"
            "volume-subpath=a/b,volume-roams",
            Mount(
                source="v",
                target="/d",
                volume_driver="local",
                volume_options={"type": "tmpfs", "device": "x"},
                volume_subpath="a/b",
                roams=True,
            ),
        ),
        (
            "type=bind,src=/x,dst=/y,bind-recursive=disabled,bind-create-src",
            Mount(
                kind=MountKind.BIND,
                source="/x",
                target="/y",
                nonrecursive=True,
                create_source=True,
            ),
        ),
        (
            "type=bind,src=/x,dst=/y,bind-nonrecursive=true",
            Mount(kind=MountKind.BIND, source="/x", target="/y", nonrecursive=True),
        ),
        (
            'type=bind,"source=/with,comma",target=/y',
            Mount(kind=MountKind.BIND, source="/with,comma", target="/y"),
        ),
    ],
)
def test_a_mount_is_read(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("foo", "KEY=VALUE"),
        ("", "KEY=VALUE"),
        ("type=bind,source=/x", "no target"),
        ("type=nfs,target=/x", "no mount type 'nfs'"),
        ("target=/x,targt=/y", "unknown mount option 'targt'"),
        ("target=/x,target=/y", "twice"),
        ("target=/x,src=a,source=b", "twice"),
        ("target=/x,readonly=maybe", "neither true nor false"),
        ("type=tmpfs,target=/x,tmpfs-mode=9", "octal"),
        ("type=tmpfs,target=/x,tmpfs-size=much", "not a size"),
        ("target=/x,consistency=cached", "changes nothing on Linux"),
        ("target=/x,image-subpath=a", "no mounts of images"),
        ("target=/x,volume-opt=type", "KEY=VALUE"),
        ("target=/x,volume-size=1", "unknown mount option 'volume-size'"),
        ("type=bind,target=/x,bind-size=1", "unknown mount option 'bind-size'"),
        ("type=bind,target=/x,bind-recursive=writable", "read-only too"),
        ("type=bind,target=/x,bind-recursive=often", "enabled, disabled or readonly|is unknown"),
    ],
)
def test_a_mount_that_is_not_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse_mount(text)

    assert caught.value.hint
