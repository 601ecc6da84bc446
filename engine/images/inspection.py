"""Show all that is known of one image, and how it came about."""

import msgspec

from engine import times
from engine.images import names
from engine.images.history import Step, read_history
from engine.replies import JsonObject
from engine.versions import Version
from swarm.api.v1 import images_pb2 as pb
from swarm.images.config import parse_config, parse_time

DRIVER = "overlay2"

_VIRTUAL_UNTIL = Version(1, 44)
_CONTAINER_UNTIL = Version(1, 45)

# What Docker's Config has when an image does not say it.
_SILENT: JsonObject = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def write_inspection(found: pb.InspectImageResponse, *, version: Version) -> JsonObject:
    """One image in full."""
    image, raw = found.image, _raw(found.config_json)
    config = parse_config(found.config_json)
    tags, digests = names.tags(image), names.digests(image)
    shown: JsonObject = {
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": image.parent_id,
        "Comment": str(raw.get("comment") or _comment(found.config_json)),
        "Created": times.stamp(image.created_at),
        "DockerVersion": str(raw.get("docker_version") or ""),
        "Author": config.author,
        "Config": _SILENT | _given(raw.get("config")),
        "Architecture": config.platform.architecture,
        "Os": config.platform.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Name": DRIVER, "Data": _layers(list(found.layer_directories))},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": times.stamp(found.tagged_at)},
    }
    if config.platform.variant:
        shown["Variant"] = config.platform.variant
    if version < _VIRTUAL_UNTIL:
        shown["VirtualSize"] = image.size_bytes
    if version < _CONTAINER_UNTIL:
        shown["Container"] = str(raw.get("container") or "")
    # Gone since 1.45; but docker-compose 1.29 speaks the latest there is, and looks it up here
    # whenever it recreates a container.
    shown["ContainerConfig"] = _SILENT | _given(raw.get("container_config"))
    return shown


def write_history(found: pb.InspectImageResponse) -> list[JsonObject]:
    """How an image came about, the newest step first; only the last one is an image here.

    The lowest layers are of images that may not have told how they came about.
    """
    steps = read_history(found.config_json)
    told = sum(not step.empty_layer for step in steps)
    untold = max(0, len(found.layer_bytes) - told)
    sizes = iter(found.layer_bytes[untold:])
    shown = [
        _write_step(Step(), size, int(found.image.created_at))
        for size in found.layer_bytes[:untold]
    ]
    shown += [
        _write_step(step, 0 if step.empty_layer else next(sizes, 0), int(parse_time(step.created)))
        for step in steps
    ]
    shown.reverse()
    if shown:
        shown[0] |= {"Id": found.image.id, "Tags": names.tags(found.image) or None}
    return shown


def _write_step(step: Step, size: int, created: int) -> JsonObject:
    return {
        "Id": "<missing>",
        "Created": created,
        "CreatedBy": step.created_by,
        "Tags": None,
        "Size": size,
        "Comment": step.comment,
    }


def write_distribution(found: pb.InspectDistributionResponse) -> JsonObject:
    """What a registry says of an image."""
    return {
        "Descriptor": {
            "mediaType": found.media_type,
            "digest": found.digest,
            "size": found.size_bytes,
        },
        "Platforms": [_write_platform(each) for each in found.platforms],
    }


def _write_platform(platform: pb.DistributionPlatform) -> JsonObject:
    shown = {"architecture": platform.architecture, "os": platform.os}
    return shown | ({"variant": platform.variant} if platform.variant else {})


def _raw(document: bytes) -> JsonObject:
    return msgspec.json.decode(document, type=JsonObject)


def _given(config: object) -> JsonObject:
    """What an image says of how it runs, as it was written."""
    return msgspec.convert(config or {}, JsonObject)


def _comment(document: bytes) -> str:
    steps = read_history(document)
    return steps[-1].comment if steps else ""


def _layers(directories: list[str]) -> JsonObject | None:
    if not directories:
        return None
    *below, top = directories
    found: JsonObject = {"UpperDir": top}
    return found | ({"LowerDir": ":".join(reversed(below))} if below else {})
