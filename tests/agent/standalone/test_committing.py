"""Images of containers run as those did, but for what somebody says."""

import json

import pytest

from agent.build.image import HealthConfig, RunConfig
from agent.standalone.committing import committed, document, merged, running
from agent.standalone.record import Record
from swarm.errors import Invalid
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec, Healthcheck
from swarm.standalone import StandaloneSpec

IMAGE = ImageConfig(
    entrypoint=("/entry",),
    cmd=("image",),
    env=("A=image", "B=image"),
    labels={"of": "image"},
    healthcheck=Healthcheck(test=("CMD", "true"), interval_s=2.0, retries=3),
    stop_signal="SIGQUIT",
)


def record(image: ImageConfig = IMAGE, **container: object) -> Record:
    return Record(
        id="f" * 64,
        spec=StandaloneSpec(name="web", container=ContainerSpec(**container)),
        image_id="sha256:" + "0" * 64,
        image=image,
        created_at=0.0,
    )


def test_a_container_runs_as_its_image_but_for_what_was_asked() -> None:
    found = running(record(env=("A=own",), args=("own",), labels={"own": "x"}, user="7"))

    assert found == RunConfig(
        hostname="f" * 12,
        user="7",
        env=("A=own", "B=image"),
        entrypoint=("/entry",),
        cmd=("own",),
        healthcheck=HealthConfig(test=("CMD", "true"), interval=2_000_000_000, retries=3),
        labels={"of": "image", "own": "x"},
        stop_signal="SIGQUIT",
    )


def test_a_config_of_docker_wins_and_leaves_the_rest_as_it_was() -> None:
    asked = {"Env": ["A=asked"], "Labels": {"of": "asked"}, "User": "", "Entrypoint": None}

    found = committed(record(), json.dumps(asked).encode(), ())

    assert found.env == ("A=asked", "B=image")
    assert found.labels == {"of": "asked"}
    assert (found.entrypoint, found.cmd) == (("/entry",), ("image",))


def test_another_program_leaves_the_containers_command_behind() -> None:
    own = RunConfig(entrypoint=("/own",), cmd=("own",))

    assert merged(RunConfig(entrypoint=("/asked",)), own).cmd is None
    assert merged(RunConfig(cmd=("asked",)), own).entrypoint == ("/own",)
    assert merged(RunConfig(entrypoint=()), own).entrypoint == ()


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b" {} "])
def test_no_config_is_the_containers_own(body: bytes) -> None:
    assert committed(record(), body, ()) == running(record())


def test_instructions_come_last() -> None:
    found = committed(record(), b'{"Env": ["A=asked"]}', ("ENV C=$A", "USER me"))

    assert found.env == ("A=asked", "C=asked", "B=image")
    assert found.user == "me"


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"Env": "A=1"}', b"\xff"])
def test_a_config_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="config"):
        committed(record(), body, ())


def test_the_history_goes_on_with_what_the_container_ran() -> None:
    base = {"architecture": "amd64", "history": [{"created_by": "FROM x"}],
            "rootfs": {"diff_ids": ["sha256:" + "1" * 64]}}  # fmt: skip

    made = document(
        json.dumps(base).encode(), RunConfig(user="7"), record(args=("sleep", "9")),
        at=5.0, author="me", comment="why", diff_id="sha256:" + "2" * 64,
    )  # fmt: skip

    assert [each.created_by for each in made.deeds] == ["FROM x", "sleep 9"]
    assert (made.deeds[-1].author, made.deeds[-1].comment) == ("me", "why")
    assert made.deeds[-1].created.startswith("1970-01-01T00:00:05")
    assert (made.comment, made.run.user, len(made.diff_ids)) == ("why", "7", 2)
