"""Serve this node's volumes: make, show and remove them."""

from engine import replies
from engine.io.exchange import Exchange, Handler
from engine.refusals import NOT_FOUND, Denied
from engine.replies import Reply
from engine.routing import Route
from engine.versions import Version
from engine.volumes.showing import choose, prunable, volume_json
from engine.wire.volumes import VolumeJson
from swarm.api.v1 import volumes_pb2
from swarm.errors import Invalid
from swarm.volumes import LOCAL

_PRUNES_ANONYMOUS = Version(1, 42)


async def list_volumes(ask: Exchange) -> Reply:
    """GET /volumes"""
    filters = ask.query.filters()
    found = await ask.backends.volumes.ListVolumes(volumes_pb2.ListVolumesRequest())
    chosen = choose(found.volumes, filters)
    return replies.json({"Volumes": [volume_json(each) for each in chosen], "Warnings": None})


async def inspect_volume(ask: Exchange) -> Reply:
    """GET /volumes/{name}"""
    request = volumes_pb2.InspectVolumeRequest(name=ask.params["name"])
    return replies.json(volume_json((await ask.backends.volumes.InspectVolume(request)).volume))


async def create_volume(ask: Exchange) -> Reply:
    """POST /volumes/create"""
    asked = await ask.decoded(VolumeJson)
    if asked.cluster_volume_spec is not None:
        raise Invalid(
            "ClusterVolumeSpec: volumes are of one node, and there are none of the swarm's",
            hint="leave it out; tasks follow a volume to its node",
        )
    if asked.driver not in ("", LOCAL):
        raise Denied(
            NOT_FOUND,
            f'plugin "{asked.driver}" not found: there is no such driver of volumes',
            hint=f"use {LOCAL}, with the options type, device and o",
        )
    made = await ask.backends.volumes.CreateVolume(
        volumes_pb2.CreateVolumeRequest(
            name=asked.name, driver=asked.driver, labels=asked.labels, options=asked.driver_opts
        )
    )
    return replies.json(volume_json(made.volume), status=201)


async def update_volume(ask: Exchange) -> Reply:
    """PUT /volumes/{name}"""
    raise Invalid(
        "volumes of one node cannot be changed, and there are none of the swarm's",
        hint="make another volume",
    )


async def remove_volume(ask: Exchange) -> Reply:
    """DELETE /volumes/{name}"""
    request = volumes_pb2.RemoveVolumeRequest(
        name=ask.params["name"], force=ask.query.flag("force")
    )
    await ask.backends.volumes.RemoveVolume(request)
    return replies.nothing()


async def prune_volumes(ask: Exchange) -> Reply:
    """POST /volumes/prune"""
    filters = ask.query.filters()
    found = await ask.backends.volumes.ListVolumes(volumes_pb2.ListVolumesRequest())
    names = prunable(found.volumes, filters, every=ask.version < _PRUNES_ANONYMOUS)
    removed = volumes_pb2.PruneVolumesResponse()
    if names:
        request = volumes_pb2.PruneVolumesRequest(names=names)
        removed = await ask.backends.volumes.PruneVolumes(request)
    return replies.json(
        {
            "VolumesDeleted": list(removed.removed),
            "SpaceReclaimed": removed.reclaimed_bytes,
        }
    )


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/volumes", list_volumes),
    Route("POST", "/volumes/create", create_volume),
    Route("POST", "/volumes/prune", prune_volumes),
    Route("GET", "/volumes/{name}", inspect_volume),
    Route("PUT", "/volumes/{name}", update_volume),
    Route("DELETE", "/volumes/{name}", remove_volume),
)
