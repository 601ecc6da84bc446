"""Serve what clients ask of the engine itself."""

import base64
import time

import msgspec

from engine import replies
from engine.cluster.showing import cluster_json
from engine.io.exchange import Exchange, Handler
from engine.refusals import NOT_IMPLEMENTED, UNAUTHORIZED, Denied
from engine.replies import Reply
from engine.routing import Route
from engine.system.information import Found, write_info, write_version
from engine.system.io.surveying import survey
from engine.system.usage import Everything, write_usage
from engine.wire.system import LoginJson
from swarm.api.v1 import (
    builds_pb2,
    containers_pb2,
    control_pb2,
    daemon_pb2,
    images_pb2,
    volumes_pb2,
)
from swarm.codec import from_message
from swarm.errors import Missing, Refused, SwarmError
from swarm.objects import Cluster
from swarm.specs import Role


async def version(ask: Exchange) -> Reply:
    """GET /version"""
    return replies.json(write_version(survey()))


async def info(ask: Exchange) -> Reply:
    """GET /info"""
    backends = ask.backends
    listed = await backends.containers.ListContainers(containers_pb2.ListContainersRequest())
    images = await backends.images.ListImages(images_pb2.ListImagesRequest())
    found = Found(
        status=await backends.daemon.GetStatus(daemon_pb2.GetStatusRequest()),
        containers=tuple(listed.containers),
        images=len(images.images),
    )
    await _ask_managers(ask, found)
    return replies.json(write_info(found, survey(), ask.config, now=time.time()))


async def login(ask: Exchange) -> Reply:
    """POST /auth"""
    asked = await ask.decoded(LoginJson)
    credentials = {
        "username": asked.username,
        "password": asked.password,
        "auth": asked.auth,
        "identitytoken": asked.identitytoken,
    }
    request = images_pb2.CheckCredentialsRequest(
        registry=asked.registry,
        registry_auth=base64.urlsafe_b64encode(msgspec.json.encode(credentials)).decode(),
    )
    try:
        await ask.backends.images.CheckCredentials(request)
    except Refused as err:
        raise Denied(UNAUTHORIZED, err.message, hint=err.hint) from err
    return replies.json({"Status": "Login Succeeded", "IdentityToken": ""})


async def disk_usage(ask: Exchange) -> Reply:
    """GET /system/df"""
    kinds = frozenset(ask.query.texts("type"))
    found = Everything(kinds=kinds or None)
    backends = ask.backends
    images = await backends.images.ListImages(images_pb2.ListImagesRequest())
    found.images = tuple(images.images)
    listed = await backends.containers.ListContainers(
        containers_pb2.ListContainersRequest(sizes=found.wants("container"))
    )
    found.containers = tuple(listed.containers)
    if found.wants("image"):
        for image in found.images:
            try:
                request = images_pb2.InspectImageRequest(name=image.id)
                found.inspected.append(await backends.images.InspectImage(request))
            except Missing:
                continue  # removed meanwhile
    if found.wants("volume"):
        volumes = await backends.volumes.ListVolumes(volumes_pb2.ListVolumesRequest(sizes=True))
        found.volumes = tuple(volumes.volumes)
    if found.wants("build-cache"):
        listed_cache = await backends.builds.ListBuildCache(builds_pb2.ListBuildCacheRequest())
        found.cached = tuple(listed_cache.records)
    return replies.json(write_usage(found, now=time.time(), version=ask.version))


async def list_plugins(ask: Exchange) -> Reply:
    """GET /plugins"""
    return replies.json([])


async def refuse_plugins(ask: Exchange) -> Reply:
    """Whatever would make one."""
    raise Denied(NOT_IMPLEMENTED, "plugins: there are none here, and none can be installed")


async def miss_plugin(ask: Exchange) -> Reply:
    """Whatever is done to one."""
    raise Missing(f'plugin "{ask.params["name"]}" not found')


async def refuse_buildkit(ask: Exchange) -> Reply:
    """POST /session and /grpc: how BuildKit's clients begin."""
    raise Denied(
        NOT_IMPLEMENTED,
        "there is no BuildKit here",
        hint="use the classic builder: set DOCKER_BUILDKIT=0",
    )


async def _ask_managers(ask: Exchange, found: Found) -> None:
    """What only managers know; a worker is told nothing, and says nothing of it."""
    if not found.status.node_id or Role(found.status.role) is not Role.MANAGER:
        return
    try:
        cluster = await ask.backends.control.GetCluster(control_pb2.GetClusterRequest())
        nodes = await ask.backends.control.ListNodes(control_pb2.ListNodesRequest())
    except SwarmError as err:
        found.error = err.message
        return
    found.nodes = tuple(nodes.nodes)
    found.cluster = cluster_json(from_message(Cluster, cluster.cluster), version=cluster.version)


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("POST", "/auth", login),
    Route("GET", "/system/df", disk_usage),
    Route("GET", "/plugins", list_plugins),
    Route("GET", "/plugins/privileges", refuse_plugins),
    Route("POST", "/plugins/pull", refuse_plugins),
    Route("POST", "/plugins/create", refuse_plugins),
    Route("GET", "/plugins/{name:path}/json", miss_plugin),
    Route("DELETE", "/plugins/{name:path}", miss_plugin),
    *(
        Route[Handler]("POST", f"/plugins/{{name:path}}/{verb}", miss_plugin)
        for verb in ("enable", "disable", "set", "push", "upgrade")
    ),
    Route("POST", "/session", refuse_buildkit),
    Route("POST", "/grpc", refuse_buildkit),
)
