"""The images of a node are served, and what is done to them is told as Docker tells it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from agent.images.io.store import ImageStore
from agent.images.removal import Use
from agent.io.images import ImagesService
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Missing, Refused
from swarm.images.platform import Platform
from swarm.io.rpc import Context
from tests.agent.images.io.archives import chunks, tar
from tests.images import docker_archive, layer
from tests.swarm.io.fake_registry import FakeRegistry, serving

pytestmark = pytest.mark.kernel  # owners and trusted attributes need root

NOBODY = cast(Context, None)


class World:
    """One service, and what it told."""

    def __init__(self, base: Path, registry: FakeRegistry) -> None:
        self.base = base
        self.registry = registry
        self.told: list[tuple[str, str, str]] = []
        self.labels: list[dict[str, str]] = []
        self.uses: tuple[Use, ...] = ()
        self.changes = 0
        store = ImageStore(base / "store", platform=Platform("linux", "amd64"))
        self.calls = ImagesService(
            store,
            insecure_registries=(),
            uses=self._uses,
            changed=self._changed,
            tell=self._tell,
        )

    async def load(self, *names: str, **config: object) -> str:
        path = docker_archive(
            self.base / "a.tar", *names, layers=(layer({"f": b"x"}, busybox=False),), config=config
        )
        requests = (pb.LoadImageRequest(chunk=each) async for each in chunks(path))
        await self.calls.LoadImage(requests, NOBODY)
        return (
            await self.calls.InspectImage(pb.InspectImageRequest(name=names[0]), NOBODY)
        ).image.id

    async def _uses(self) -> tuple[Use, ...]:
        return self.uses

    def _changed(self) -> None:
        self.changes += 1

    def _tell(self, kind: str, action: str, subject: str, attributes: Mapping[str, str]) -> None:
        assert kind == "image"
        self.told.append((action, subject, attributes.get("name", "")))
        labels = {k: v for k, v in attributes.items() if k not in ("name", "reclaimed")}
        self.labels.append(labels)


def tell(tmp_path: Path, story: Callable[[World], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        registry = FakeRegistry()
        async with serving(registry):
            await story(World(tmp_path, registry))

    asyncio.run(run())


async def all_of(answers: Any) -> list[Any]:
    return [each async for each in answers]


def test_every_deed_is_told_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        calls, name = world.calls, f"{world.registry.address}/web:1"
        image_id = await world.load("web:1")
        await calls.TagImage(pb.TagImageRequest(source="web:1", target=name), NOBODY)
        await all_of(calls.PushImage(pb.PushImageRequest(reference=name), NOBODY))
        await all_of(calls.PullImage(pb.PullImageRequest(reference=name), NOBODY))
        await all_of(calls.SaveImages(pb.SaveImagesRequest(names=["web:1"]), NOBODY))
        await calls.RemoveImage(pb.RemoveImageRequest(name="web:1"), NOBODY)
        pruned = await calls.PruneImages(pb.PruneImagesRequest(names=[image_id]), NOBODY)

        assert world.told == [
            ("load", image_id, image_id),
            ("tag", image_id, name),
            ("push", name, name.removesuffix(":1")),
            ("pull", name, name.removesuffix(":1")),
            ("save", image_id, image_id),
            ("untag", image_id, image_id),
            ("untag", image_id, image_id),
            ("delete", image_id, image_id),
            ("prune", "", ""),
        ]
        assert world.changes == 6
        assert pruned.reclaimed_bytes > 0
        assert pruned.deleted[0] == image_id
        assert len(pruned.deleted) == 2  # with its layer

    tell(tmp_path, story)


def test_names_that_go_are_told_with_the_labels_of_their_image(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        image_id = await world.load("web:1", "web:2", "web:3", Labels={"a": "b"})
        world.told.clear()
        world.labels.clear()

        await world.calls.RemoveImage(pb.RemoveImageRequest(name="web:1"), NOBODY)
        await world.calls.PruneImages(pb.PruneImagesRequest(names=["web:2"]), NOBODY)
        await world.calls.RemoveImage(pb.RemoveImageRequest(name=image_id[7:19]), NOBODY)

        assert [each[:2] for each in world.told] == [
            ("untag", image_id), ("untag", image_id), ("prune", ""),
            ("untag", image_id), ("delete", image_id),
        ]  # fmt: skip
        assert [each for each in world.labels if each] == [{"a": "b"}] * 3

    tell(tmp_path, story)


def test_a_tag_that_takes_its_digests_along_is_told_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        calls, name = world.calls, f"{world.registry.address}/web:1"
        await world.load("other:1", name)
        await all_of(calls.PushImage(pb.PushImageRequest(reference=name), NOBODY))
        world.told.clear()

        removed = await calls.RemoveImage(pb.RemoveImageRequest(name=name), NOBODY)

        assert len(removed.untagged) == 2
        assert [action for action, _, _ in world.told] == ["untag"]

    tell(tmp_path, story)


def test_what_is_refused_is_not_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        image_id = await world.load("web:1")
        world.told.clear()
        world.uses = (Use(image_id=image_id, container="c"),)

        with pytest.raises(Refused):
            await world.calls.RemoveImage(pb.RemoveImageRequest(name="web:1"), NOBODY)
        with pytest.raises(Missing):
            await world.calls.RemoveImage(pb.RemoveImageRequest(name="other"), NOBODY)
        with pytest.raises(Missing):
            await all_of(world.calls.PushImage(pb.PushImageRequest(reference="other"), NOBODY))
        with pytest.raises(Missing):
            await all_of(world.calls.SaveImages(pb.SaveImagesRequest(names=["other"]), NOBODY))
        pruned = await world.calls.PruneImages(pb.PruneImagesRequest(names=[image_id]), NOBODY)

        assert [action for action, _, _ in world.told] == ["prune"]
        assert pruned.reclaimed_bytes == 0

    tell(tmp_path, story)


def test_an_inspection_tells_layers_labels_and_when_it_got_a_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.load("web:1", Labels={"a": "b"})

        found = await world.calls.InspectImage(pb.InspectImageRequest(name="web:1"), NOBODY)

        assert list(found.layer_bytes) == [1]
        (directory,) = found.layer_directories
        assert (Path(directory) / "f").read_bytes() == b"x"
        assert found.tagged_at == found.image.tagged_at > 1_700_000_000
        assert found.image.labels == {"a": "b"}

    tell(tmp_path, story)


def test_an_image_of_a_removed_name_is_pulled_back_by_the_digest_of_its_push(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        calls, name = world.calls, f"{world.registry.address}/web:1"
        await world.load(name)
        *_, last = await all_of(calls.PushImage(pb.PushImageRequest(reference=name), NOBODY))
        await calls.RemoveImage(pb.RemoveImageRequest(name=name), NOBODY)
        pinned = f"{world.registry.address}/web@{last.digest}"

        *_, done = await all_of(calls.PullImage(pb.PullImageRequest(reference=pinned), NOBODY))

        assert list(done.image.references) == [pinned]
        tags = await calls.ListTags(pb.ListTagsRequest(reference=name), NOBODY)
        assert list(tags.tags) == ["1"]

    tell(tmp_path, story)


def test_an_import_is_told_by_its_id_after_its_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def requests() -> Any:
            yield pb.ImportImageRequest(reference="flat:1", chunk=tar(("x", b"x")))

        made = await world.calls.ImportImage(requests(), NOBODY)

        assert world.told == [("tag", made.id, "flat:1"), ("import", made.id, made.id)]

    tell(tmp_path, story)
