"""Flags of what this host has: its volumes and its images."""

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from agent.build.changes import changed
from agent.build.image import RunConfig
from agent.images.index import Index, Record
from agent.images.removal import Removal, remove
from agent.io.volumes import Volumes
from agent.io.volumes_service import VolumesService
from agent.mounting import FileSystem, Mounting, mounting
from runtime import constants as k
from swarm.api.v1 import images_pb2, volumes_pb2
from swarm.errors import Invalid, Missing, Refused
from swarm.images.config import ImageConfig
from swarmctl.io.session import Session
from tests.flags.asking import asks, formatted, has, listing, prints
from tests.flags.lab import Lab, kernel
from tests.flags.table import KERNEL, OUTPUT, REFUSED, REQUEST, Proof, Row, elsewhere
from tests.swarmctl import answers

ANONYMOUS = {"com.docker.volume.anonymous": ""}


# -- volumes -------------------------------------------------------------------------------


def _volumes(lab: Lab) -> None:
    """One that is used, one that is not and has a label, and one whose name was made up."""
    lab.swarm.volumes = [
        volumes_pb2.Volume(name="data", driver="local", users=["web.1.x"]),
        volumes_pb2.Volume(name="old", driver="local", labels={"keep": ""}),
        volumes_pb2.Volume(name="f" * 64, driver="local", labels=ANONYMOUS),
    ]


def _asked(lab: Lab, kind: type[Any], *words: str) -> Any:
    ran = lab.run("volume", *words)
    assert ran.status == 0, ran.err
    return lab.sent(kind)


def _on_agent(lab: Lab, method: str, request: Any) -> Any:
    """What the agent of this host answers."""
    volumes = Volumes(lab.directory / "volumes", users=dict, changed=lambda: None)
    return asyncio.run(getattr(VolumesService(volumes), method)(request, None))


def _driver(lab: Lab, flag: str) -> None:
    asked = _asked(lab, volumes_pb2.CreateVolumeRequest, "create", flag, "nfs", "data")
    with pytest.raises(Invalid, match="nfs"):
        _on_agent(lab, "CreateVolume", asked)
    asked = _asked(lab, volumes_pb2.CreateVolumeRequest, "create", "data")
    assert _on_agent(lab, "CreateVolume", asked).volume.driver == "local"


def _label(lab: Lab, flag: str) -> None:
    def labels(*words: str) -> dict[str, str]:
        asked = _asked(lab, volumes_pb2.CreateVolumeRequest, "create", *words)
        return dict(_on_agent(lab, "CreateVolume", asked).volume.labels)

    assert labels(flag, "a=b", "one") == {"a": "b"}
    assert labels("other") == {}


def _opt(lab: Lab, flag: str) -> None:
    """Options end in the arguments of mount(2)."""

    def mount(*words: str) -> Mounting | None:
        asked = _asked(lab, volumes_pb2.CreateVolumeRequest, "create", *words, "data")
        return mounting(asked.name, dict(asked.options))

    words = (flag, "type=tmpfs", flag, "device=tmpfs", flag, "o=size=1m,noexec")
    wanted = FileSystem(kind="tmpfs", device="tmpfs", flags=k.MS_NOEXEC, data=("size=1m",))
    assert mount(*words) == wanted
    assert mount() is None


def _no_such(lab: Lab, flag: str) -> None:
    asked = _asked(lab, volumes_pb2.RemoveVolumeRequest, "rm", flag, "none")
    _on_agent(lab, "RemoveVolume", asked)
    asked = _asked(lab, volumes_pb2.RemoveVolumeRequest, "rm", "none")
    with pytest.raises(Missing, match="no such volume: none"):
        _on_agent(lab, "RemoveVolume", asked)


def _unasked(lab: Lab, flag: str) -> None:
    """Without it somebody has to say yes."""
    _volumes(lab)
    _asked(lab, volumes_pb2.PruneVolumesRequest, "prune", flag)
    ran = lab.run("volume", "prune", stdin=b"n\n")
    assert "Are you sure" in ran.err
    assert not lab.changes()


def _pruned(flag: str, words: str, expected: list[str], *, rest: str) -> Row:
    return asks(
        "volume prune",
        flag,
        words,
        volumes_pb2.PruneVolumesRequest,
        lambda r: list(r.names),
        expected,
        rest=rest,
        given=_volumes,
    )


VOLUMES: tuple[Row, ...] = (
    Row("volume create", "--driver", Proof(REFUSED, _driver)),
    Row("volume create", "--label", Proof(REQUEST, _label)),
    Row("volume create", "--opt", Proof(KERNEL, _opt)),
    Row("volume rm", "--force", Proof(REQUEST, _no_such)),
    Row("volume prune", "--force", Proof(REQUEST, _unasked)),
    _pruned("--all", "-a", ["old", "f" * 64], rest="-f"),
    _pruned("--filter", "--filter label=keep", ["old"], rest="-f -a"),
    *listing("volume ls", "dangling=true", 2, key="Name", given=_volumes),
    formatted("volume inspect", "-f x{{.Name}}", "data", given=_volumes),
)


# -- images --------------------------------------------------------------------------------


def _images(lab: Lab) -> None:
    lab.swarm.images = [
        answers.image("a" * 64, "docker.io/library/busybox:1"),
        answers.image("b" * 64, "docker.io/me/app:3"),
    ]


def _change(lab: Lab, flag: str) -> None:
    """What an import says of its image is what containers of the image start with."""

    def started(*words: str) -> tuple[str, ...]:
        ran = lab.run("image", "import", *words, lab.file("root.tar", "tar"), "box:1")
        assert ran.status == 0, ran.err
        changes = tuple(lab.sent(images_pb2.ImportImageRequest).changes)
        run = changed(RunConfig(cmd=("sh",)), changes)
        config = ImageConfig(cmd=run.cmd or ())
        process = kernel(lab.created(image="box:1"), image=config).config.process
        assert process is not None
        return process.args

    assert started(flag, 'CMD ["run", "it"]') == ("run", "it")
    assert started() == ("sh",)


def _painted(lab: Lab, flag: str) -> None:
    """On a terminal it is shown how much was sent."""
    archive = lab.file("archive.tar", "x" * (5 << 20))
    with patch.object(Session, "is_interactive", lambda _: True):
        assert "Sending" not in lab.run("image", "load", flag, "-i", archive).out
        assert "Sending" in lab.run("image", "load", "-i", archive).out


def _pulls(lab: Lab) -> None:
    done = images_pb2.PullImageResponse(image=answers.image("c" * 64))
    lab.swarm.pulls = [images_pb2.PullImageResponse(layer="sha256:" + "a" * 64), done]


def _several_tags(lab: Lab, flag: str) -> None:
    """An image with two tags goes by its id only by force."""
    image = Record(
        id="sha256:" + "a" * 64, digest="sha256:" + "b" * 64, manifest="", blobs=(), diff_ids=(),
        size_bytes=1, created_at=0.0, local=True,
        names=("docker.io/library/app:1", "docker.io/library/app:2"),
    )  # fmt: skip

    def removed(*words: str) -> Removal:
        assert lab.run("image", "rm", *words, "aaaa").status == 0
        asked = lab.sent(images_pb2.RemoveImageRequest)
        index = Index((image,))
        return remove(index, asked.name, force=asked.force)[1]

    assert removed(flag).deleted == (image.id,)
    with pytest.raises(Refused, match="must be forced"):
        removed()


_TESTS = "tests/swarmctl/commands/test_image.py"
IMAGES: tuple[Row, ...] = (
    Row("image import", "--change", Proof(KERNEL, _change)),
    asks(
        "image import",
        "--message",
        "-m mine",
        images_pb2.ImportImageRequest,
        lambda r: r.message,
        "mine",
        rest="/etc/hostname",
    ),
    formatted("image inspect", "-f x{{.Id}}", "busybox:1", given=_images),
    elsewhere(
        "image load",
        "--input",
        REQUEST,
        f"{_TESTS}::test_an_archive_is_loaded_from_a_file_or_from_standard_input",
    ),
    Row("image load", "--quiet", Proof(OUTPUT, _painted)),
    *listing("image ls", "reference=busybox", 1, given=_images),
    prints("image ls", "--digests", "--digests", has(answers.DIGEST), True, given=_images),
    prints("image ls", "--no-trunc", "--no-trunc", has("a" * 64), True, given=_images),
    prints("image pull", "--quiet", "-q", has("Pulling"), False, rest="busybox", given=_pulls),
    Row("image rm", "--force", Proof(REQUEST, _several_tags)),
)

ROWS: tuple[Row, ...] = (*VOLUMES, *IMAGES)
