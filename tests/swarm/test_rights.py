"""What a container may do is checked whole, with the paths of its spec."""

import pytest
from msgspec.structs import replace

from swarm.rights import check_rights
from swarm.specs import ContainerSpec, Device, Healthcheck

GOOD = ContainerSpec(
    cap_add=("ALL",),
    cap_drop=("CAP_NET_RAW",),
    devices=(
        Device(source="/dev/fuse", target="/dev/fuse"),
        Device(source="/dev/snd", target="/dev/sound", access="r"),
    ),
    seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}',
    apparmor="docker-default",
    health=Healthcheck(test=("CMD", "true"), interval_s=0.001, start_period_s=60.0),
)


def test_sound_rights_have_no_problems() -> None:
    assert list(check_rights("c", GOOD)) == []
    assert list(check_rights("c", ContainerSpec())) == []
    assert list(check_rights("c", ContainerSpec(seccomp="unconfined"))) == []


def device(**fields: str) -> dict[str, object]:
    return {"devices": (replace(Device(source="/dev/a", target="/dev/b"), **fields),)}


def health(**fields: object) -> dict[str, object]:
    return {"health": replace(Healthcheck(), **fields)}


TWICE = (Device(source="/dev/a", target="/dev/a"), Device(source="/dev/b", target="/dev/a"))


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"cap_add": ("CAP_FLY",)}, "c.cap_add[0]", "no capability"),
        ({"cap_drop": ("NET_RAW",)}, "c.cap_drop[0]", "CAP_NET_RAW"),
        (device(source="fuse"), "c.devices[0].source", "absolute"),
        (device(source="/"), "c.devices[0].source", "root"),
        (device(target="/dev/../etc/x"), "c.devices[0].target", "`..`"),
        (device(access="rx"), "c.devices[0].access", "r, w and m"),
        (device(access="rr"), "c.devices[0].access", "each once"),
        (device(access=""), "c.devices[0].access", "r, w and m"),
        ({"devices": TWICE}, "c.devices[1].target", "devices[0]"),
        ({"seccomp": "x" * 131_073}, "c.seccomp", "128 KiB"),
        ({"apparmor": "two words"}, "c.apparmor", "profile"),
        (health(test=("SHELL", "x")), "c.health.test", "CMD-SHELL"),
        (health(test=("CMD",)), "c.health.test", "command"),
        (health(test=("CMD-SHELL", " ")), "c.health.test", "command"),
        (health(test=("CMD", "a\0b")), "c.health.test", "NUL"),
        (health(test=("NONE", "x")), "c.health.test", "NONE"),
        (health(interval_s=-1.0), "c.health.interval_s", "negative"),
        (health(timeout_s=float("nan")), "c.health.timeout_s", "negative"),
        (health(start_interval_s=0.0001), "c.health.start_interval_s", "1ms"),
        (health(retries=-1), "c.health.retries", "-1"),
    ],
)
def test_every_problem_says_where_it_is(fields: dict[str, object], path: str, words: str) -> None:
    [(where, text)] = check_rights("c", replace(GOOD, **fields))

    assert where == path
    assert words in text
