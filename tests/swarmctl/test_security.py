"""Flags of rights are read as Docker's, and changes of them combine as Docker's do."""

import pytest
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import ContainerSpec, Device
from swarmctl.security import parse_device, seccomp_file, with_capabilities, with_options


@pytest.mark.parametrize(
    ("text", "source", "target", "access"),
    [
        ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
        ("/dev/fuse:r", "/dev/fuse", "/dev/fuse", "r"),
        ("/dev/sda:/dev/disk", "/dev/sda", "/dev/disk", "rwm"),
        ("/dev/sda:/dev/disk:rw", "/dev/sda", "/dev/disk", "rw"),
    ],
)
def test_a_device_is_host_container_access(
    text: str, source: str, target: str, access: str
) -> None:
    assert parse_device(text) == Device(source=source, target=target, access=access)


@pytest.mark.parametrize("text", ["", ":/dev/x", "/a:/b:rx", "/a:/b:", "/a:/b:r:w", "/a:"])
def test_a_device_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_device(text)

    assert "/dev/fuse" in caught.value.hint


def caps(*, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> ContainerSpec:
    return ContainerSpec(cap_add=add, cap_drop=drop)


@pytest.mark.parametrize(
    ("old", "add", "drop", "new"),
    [
        (caps(), ["net_admin"], ["ALL"], caps(add=("CAP_NET_ADMIN",), drop=("ALL",))),
        (caps(), ["KILL"], ["CAP_KILL"], caps(add=("CAP_KILL",))),
        (caps(drop=("CAP_KILL",)), ["KILL"], [], caps()),
        (caps(add=("CAP_BPF",)), [], ["BPF"], caps()),
        (caps(add=("CAP_BPF",)), ["RESET", "KILL"], [], caps(add=("CAP_KILL",))),
        (caps(drop=("ALL",)), [], ["reset"], caps()),
        (caps(add=("CAP_BPF",)), ["ALL"], [], caps(add=("ALL",))),
        (caps(), ["RESET"], ["RESET"], caps()),
    ],
)
def test_capabilities_change_as_dockers_do(
    old: ContainerSpec, add: list[str], drop: list[str], new: ContainerSpec
) -> None:
    assert with_capabilities(old, add=add, drop=drop) == new


def test_a_misspelt_capability_is_refused_under_its_flag() -> None:
    with pytest.raises(Invalid, match="--cap-drop: there is no capability 'NET_RAWW'"):
        with_capabilities(ContainerSpec(), add=[], drop=["NET_RAWW"])


PROFILE = '{"defaultAction":"SCMP_ACT_ALLOW"}'


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (["seccomp=unconfined"], {"seccomp": "unconfined"}),
        (["seccomp:unconfined"], {"seccomp": "unconfined"}),
        (["seccomp=unconfined", "seccomp=default"], {}),
        ([f"seccomp={PROFILE}"], {"seccomp": PROFILE}),
        (["no-new-privileges"], {}),
        (["no-new-privileges:false"], {"allow_new_privileges": True}),
        (["no-new-privileges=false", "no-new-privileges=true"], {}),
        (["apparmor=mine"], {"apparmor": "mine"}),
        (["apparmor=unconfined"], {"apparmor": "unconfined"}),
    ],
)
def test_options_set_what_they_name(options: list[str], fields: dict[str, object]) -> None:
    assert with_options(ContainerSpec(), options) == replace(ContainerSpec(), **fields)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("label=type:x", "SELinux"),
        ("label:disable", "SELinux"),
        ("no-new-privileges=maybe", "no-new-privileges"),
        ("seccomp", "seccomp"),
        ("apparmor=", "apparmor"),
        ("systempaths=unconfined", "systempaths"),
        ("", "cannot be read"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused(option: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        with_options(ContainerSpec(), [option])

    assert caught.value.hint


def test_only_a_seccomp_option_can_name_a_file() -> None:
    assert seccomp_file("seccomp=/etc/p.json") == "/etc/p.json"
    for other in ("seccomp=unconfined", "seccomp=default", f"seccomp={PROFILE}", "apparmor=/x"):
        assert seccomp_file(other) == ""
