"""Add up what containers, images, volumes and builds take on this node's disk."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field

from engine.builds.cached import own_bytes, write_records
from engine.containers import listing as containers
from engine.images import listing as images
from engine.replies import JsonObject
from engine.versions import Version
from engine.volumes.showing import volume_json
from swarm.api.v1 import builds_pb2, containers_pb2, images_pb2, volumes_pb2
from swarm.images.config import parse_config


class Everything(Struct, kw_only=True):
    """What is to be added up; without `kinds` all of it."""

    kinds: frozenset[str] | None = None
    containers: tuple[containers_pb2.ContainerView, ...] = ()
    images: tuple[images_pb2.Image, ...] = ()
    inspected: list[images_pb2.InspectImageResponse] = field(
        default_factory=list[images_pb2.InspectImageResponse]
    )
    volumes: tuple[volumes_pb2.Volume, ...] = ()
    cached: tuple[builds_pb2.BuildCacheRecord, ...] = ()

    def wants(self, kind: str) -> bool:
        """Whether it is asked for."""
        return self.kinds is None or kind in self.kinds


def write_usage(found: Everything, *, now: float, version: Version) -> JsonObject:
    """GET /system/df"""
    shown: JsonObject = {}
    users = Counter(each.image_id for each in found.containers)
    if found.wants("image"):
        layers = _layers(found)
        shared = _shared(found, layers)
        shown["LayersSize"] = sum(size for size, _ in layers.values())
        shown["Images"] = [
            images.write_line(
                each,
                version=version,
                containers=users[each.id],
                shared_bytes=shared.get(each.id, 0),
            )
            for each in found.images
        ]
    if found.wants("container"):
        ids = image_ids(found.images)
        shown["Containers"] = [
            containers.write_line(
                each,
                image=containers.image_name(each, ids),
                sized=True,
                now=now,
                version=version,
            )
            for each in found.containers
        ]
    if found.wants("volume"):
        shown["Volumes"] = [volume_json(each, size_bytes=each.size_bytes) for each in found.volumes]
    if found.wants("build-cache"):
        shown["BuildCache"] = write_records(found.cached)
        shown["BuilderSize"] = own_bytes(found.cached)
    return shown


def image_ids(found: tuple[images_pb2.Image, ...]) -> Mapping[str, str]:
    """What each name means."""
    return {name: image.id for image in found for name in image.references}


def _layers(found: Everything) -> dict[tuple[str, ...], tuple[int, int]]:
    """Size of each layer, by all that lie below it and itself, and how many images have it."""
    layers: dict[tuple[str, ...], tuple[int, int]] = {}
    for image in found.inspected:
        ids = parse_config(image.config_json).diff_ids
        for number, size in enumerate(image.layer_bytes, start=1):
            _, uses = layers.get(ids[:number], (0, 0))
            layers[ids[:number]] = (size, uses + 1)
    return layers


def _shared(found: Everything, layers: Mapping[tuple[str, ...], tuple[int, int]]) -> dict[str, int]:
    """What each image takes that another one has, too."""
    shared: dict[str, int] = {}
    for image in found.inspected:
        ids = parse_config(image.config_json).diff_ids
        sizes = (layers.get(ids[:number], (0, 0)) for number in range(1, len(ids) + 1))
        shared[image.image.id] = sum(size for size, uses in sizes if uses > 1)
    return shared
