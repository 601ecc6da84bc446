"""Serve what is done to containers as a whole."""

import time

from engine import replies
from engine.containers import creating, pruning, resources
from engine.containers.io.following import wait_for_end
from engine.containers.io.looking import inspected
from engine.filters import Filters
from engine.images.names import absent
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route
from engine.wire.containers import CreateJson, ResourcesJson, RestartPolicyJson
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import images_pb2
from swarm.codec import from_message, to_message
from swarm.errors import Invalid, Missing
from swarm.images.config import parse_config
from swarm.specs import Limits
from swarm.standalone import Shares

_CONDITIONS = {
    "": pb.WAIT_CONDITION_NOT_RUNNING,
    "not-running": pb.WAIT_CONDITION_NOT_RUNNING,
    "next-exit": pb.WAIT_CONDITION_NEXT_EXIT,
    "removed": pb.WAIT_CONDITION_REMOVED,
}


async def create_container(ask: Exchange) -> Reply:
    """POST /containers/create"""
    asked = await ask.decoded(CreateJson)
    spec = creating.read_spec(asked, name=ask.query.text("name"), version=ask.version)
    if platform := ask.query.text("platform"):
        await _check_platform(ask, asked.image, platform)
    try:
        made = await ask.backends.containers.CreateContainer(
            pb.CreateContainerRequest(spec=to_message(spec))
        )
    except Missing as err:
        if err.message == f"No such image: {asked.image}":
            raise absent(asked.image) from err
        raise
    warnings = [*resources.warnings_of(asked.host_config), *made.warnings]
    return replies.json({"Id": made.id, "Warnings": warnings}, status=201)


async def start_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/start"""
    request = pb.StartContainerRequest(container=ask.params["name"])
    found = await ask.backends.containers.StartContainer(request)
    return replies.nothing(204 if found.changed else 304)


async def stop_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/stop"""
    request = pb.StopContainerRequest(
        container=ask.params["name"], signal=ask.query.text("signal"), grace_s=_grace(ask)
    )
    found = await ask.backends.containers.StopContainer(request)
    return replies.nothing(204 if found.changed else 304)


async def restart_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/restart"""
    request = pb.RestartContainerRequest(
        container=ask.params["name"], signal=ask.query.text("signal"), grace_s=_grace(ask)
    )
    await ask.backends.containers.RestartContainer(request)
    return replies.nothing()


async def kill_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/kill"""
    name = ask.params["name"]
    request = pb.KillContainerRequest(container=name, signal=ask.query.text("signal"))
    try:
        await ask.backends.containers.KillContainer(request)
    except Missing as err:
        raise Missing(f"cannot kill container: {name}: {err.message}") from err
    return replies.nothing()


async def pause_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/pause"""
    request = pb.PauseContainerRequest(container=ask.params["name"], paused=True)
    await ask.backends.containers.PauseContainer(request)
    return replies.nothing()


async def unpause_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/unpause"""
    request = pb.PauseContainerRequest(container=ask.params["name"], paused=False)
    await ask.backends.containers.PauseContainer(request)
    return replies.nothing()


async def rename_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/rename"""
    name = ask.query.text("name")
    if not name:
        raise Invalid("Neither old nor new names may be empty")
    request = pb.RenameContainerRequest(container=ask.params["name"], name=name)
    await ask.backends.containers.RenameContainer(request)
    return replies.nothing()


async def update_container(ask: Exchange) -> Reply:
    """POST /containers/{name}/update"""
    asked = await ask.decoded(ResourcesJson)
    found = (await inspected(ask)).container
    limits = from_message(Limits, found.spec.limits)
    shares = from_message(Shares, found.spec.shares)
    request = pb.UpdateContainerRequest(
        container=found.id,
        limits=to_message(resources.change_limits(limits, shares, asked)),
        shares=to_message(resources.change_shares(shares, asked)),
    )
    if asked.restart_policy != RestartPolicyJson():
        request.restart.CopyFrom(to_message(creating.read_restart(asked.restart_policy)))
    changed = await ask.backends.containers.UpdateContainer(request)
    return replies.json({"Warnings": list(changed.warnings) or None})


async def wait_for_container(ask: Exchange) -> None:
    """POST /containers/{name}/wait

    The head is sent as soon as the wait has begun: a client that starts the container next must
    know that its end will not be missed.
    """
    condition = _CONDITIONS.get(ask.query.text("condition"))
    if condition is None:
        raise Invalid(f'invalid condition: "{ask.query.text("condition")}"')
    request = pb.WaitContainerRequest(container=ask.params["name"], condition=condition)
    async with ending(wait_for_end(ask.backends, request)) as answers:
        async for answer in answers:
            if not ask.has_begun:
                await ask.begin()
            if answer.ended:
                await ask.write_json(_ended(answer.exit_code, answer.error))
                return


async def remove_container(ask: Exchange) -> Reply:
    """DELETE /containers/{name}"""
    if ask.query.flag("link"):
        return await _unlink(ask)
    request = pb.RemoveContainerRequest(
        container=ask.params["name"], force=ask.query.flag("force"), volumes=ask.query.flag("v")
    )
    await ask.backends.containers.RemoveContainer(request)
    return replies.nothing()


async def _unlink(ask: Exchange) -> Reply:
    """Have one container forget another, which it calls by the last piece of the path."""
    container, _, alias = ask.params["name"].strip("/").rpartition("/")
    if not container:
        raise Invalid(f"Invalid link path {ask.params['name']}", hint="write CONTAINER/ALIAS")
    request = pb.UpdateContainerRequest(container=container, unlinked=[alias])
    await ask.backends.containers.UpdateContainer(request)
    return replies.nothing()


async def prune_containers(ask: Exchange) -> Reply:
    """POST /containers/prune"""
    filters: Filters = ask.query.filters()
    found = await ask.backends.containers.ListContainers(pb.ListContainersRequest())
    chosen = pruning.choose(found.containers, filters, now=time.time())
    removed = await ask.backends.containers.PruneContainers(
        pb.PruneContainersRequest(containers=chosen)
    )
    return replies.json(
        {
            "ContainersDeleted": list(removed.removed) or None,
            "SpaceReclaimed": removed.reclaimed_bytes,
        }
    )


async def _check_platform(ask: Exchange, image: str, platform: str) -> None:
    """An image of another platform counts as absent: clients then pull the right one."""
    found = await ask.backends.images.InspectImage(images_pb2.InspectImageRequest(name=image))
    has = parse_config(found.config_json).platform
    wanted = platform.split("/")
    for part, own in zip(wanted, (has.os, has.architecture, has.variant), strict=False):
        if part and own and part != own:
            raise Missing(
                f"image with reference {image} was found but does not provide the specified "
                f"platform ({platform})"
            )


def _grace(ask: Exchange) -> float | None:
    return float(ask.query.integer("t")) if ask.query.text("t") else None


def _ended(exit_code: int, error: str) -> replies.JsonObject:
    if error:
        return {"Error": {"Message": error}, "StatusCode": exit_code}
    return {"StatusCode": exit_code}


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/create", create_container),
    Route("POST", "/containers/prune", prune_containers),
    Route("POST", "/containers/{name}/start", start_container),
    Route("POST", "/containers/{name}/stop", stop_container),
    Route("POST", "/containers/{name}/restart", restart_container),
    Route("POST", "/containers/{name}/kill", kill_container),
    Route("POST", "/containers/{name}/pause", pause_container),
    Route("POST", "/containers/{name}/unpause", unpause_container),
    Route("POST", "/containers/{name}/rename", rename_container),
    Route("POST", "/containers/{name}/update", update_container),
    Route("POST", "/containers/{name}/wait", wait_for_container),
    Route("DELETE", "/containers/{name:path}", remove_container),
)
