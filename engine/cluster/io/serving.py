"""Serve the swarm: make, join, show, change and leave it."""

import asyncio
from contextlib import suppress

from engine import replies
from engine.cluster.io.managing import managing, status
from engine.cluster.showing import swarm_json
from engine.cluster.specs import read_availability, read_cluster, read_init
from engine.io.exchange import Exchange, Handler
from engine.queries import Query
from engine.refusals import CONFLICT, UNAVAILABLE, Denied
from engine.replies import Reply
from engine.routing import Route
from engine.services.io.serving import out_of_sequence, version_of
from engine.wire.cluster import ClusterSpecJson, InitJson, JoinJson, UnlockJson
from swarm.api.v1 import control_pb2, daemon_pb2, objects_pb2, specs_pb2
from swarm.codec import from_message, to_message
from swarm.errors import Conflict, Invalid, SwarmError, Unavailable
from swarm.objects import Cluster
from swarm.specs import ClusterSpec, Role

IN_SWARM = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join '
    "another one."
)
OUTSIDE = "This node is not part of a swarm"
LAST_MANAGER = (
    "You are attempting to leave the swarm on a node that is participating as a manager. Removing "
    "the last manager erases all current state of the swarm. Use `--force` to ignore this message."
)

SETTLED_WITHIN_S = 10.0
SETTLED_EVERY_S = 0.05

_ROLES = {
    "rotateWorkerToken": specs_pb2.ROLE_WORKER,
    "rotateManagerToken": specs_pb2.ROLE_MANAGER,
}


async def inspect_swarm(ask: Exchange) -> Reply:
    """GET /swarm"""
    async with managing(ask) as control:
        found = await control.GetCluster(control_pb2.GetClusterRequest())
        tokens = [
            (await control.GetJoinToken(control_pb2.GetJoinTokenRequest(role=role))).token
            for role in (specs_pb2.ROLE_WORKER, specs_pb2.ROLE_MANAGER)
        ]
    cluster = from_message(Cluster, found.cluster)
    shown = swarm_json(cluster, version=found.version, worker=tokens[0], manager=tokens[1])
    return replies.json(shown)


async def init_swarm(ask: Exchange) -> Reply:
    """POST /swarm/init"""
    asked = await ask.decoded(InitJson)
    await _check_outside(ask)
    founding = read_init(asked)
    made = await ask.backends.daemon.Init(
        daemon_pb2.InitRequest(
            advertise_addr=asked.advertise_addr,
            listen_addr=asked.listen_addr,
            data_path_addr=asked.data_path_addr,
            availability=specs_pb2.Availability.ValueType(founding.availability),
            spec=to_message(founding.spec),
        )
    )
    await _settled(ask, made.node_id)
    return replies.json(made.node_id)


async def _settled(ask: Exchange, node_id: str) -> None:
    """Wait a moment until the node has told its swarm of itself.

    Who reads it next would otherwise hold a version that is old when it is used.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while not await _is_ready(ask, node_id):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(SETTLED_EVERY_S)


async def _is_ready(ask: Exchange, node_id: str) -> bool:
    request = control_pb2.ListNodesRequest(nodes=[node_id])
    try:
        found = await ask.backends.control.ListNodes(request)
    except SwarmError:
        return False  # the first leader is about to be elected
    ready = objects_pb2.NODE_STATE_READY
    return any(view.state == ready and view.node.description.hostname for view in found.nodes)


async def join_swarm(ask: Exchange) -> Reply:
    """POST /swarm/join"""
    asked = await ask.decoded(JoinJson)
    await _check_outside(ask)
    if not asked.remote_addrs:
        raise Invalid("RemoteAddrs: at least one manager's address is required to join")
    availability = specs_pb2.Availability.ValueType(read_availability(asked.availability))
    problem: SwarmError | None = None
    for address in asked.remote_addrs:
        try:
            await ask.backends.daemon.Join(
                daemon_pb2.JoinRequest(
                    token=asked.join_token,
                    manager_addr=address,
                    advertise_addr=asked.advertise_addr,
                    listen_addr=asked.listen_addr,
                    data_path_addr=asked.data_path_addr,
                    availability=availability,
                )
            )
        except Unavailable as err:
            problem = err  # another one may answer
            continue
        return replies.nothing(200)
    assert problem is not None
    raise problem


async def leave_swarm(ask: Exchange) -> Reply:
    """POST /swarm/leave"""
    found, force = await status(ask), ask.query.flag("force")
    if not found.node_id:
        raise Denied(UNAVAILABLE, OUTSIDE)
    if Role(found.role) is Role.MANAGER and not force:
        raise Denied(UNAVAILABLE, LAST_MANAGER)
    await ask.backends.daemon.Leave(daemon_pb2.LeaveRequest(force=force))
    return replies.nothing(200)


async def update_swarm(ask: Exchange) -> Reply:
    """POST /swarm/update"""
    asked, version = await ask.decoded(ClusterSpecJson), version_of(ask, "swarm")
    rotated = [role for name, role in _ROLES.items() if _switch(ask.query, name)]
    if _switch(ask.query, "rotateManagerUnlockKey"):
        raise Invalid(
            "rotateManagerUnlockKey: the swarm is not locked, and has no key to unlock it"
        )
    async with managing(ask) as control:
        found = await control.GetCluster(control_pb2.GetClusterRequest())
        spec = read_cluster(asked, from_message(ClusterSpec, found.cluster.spec))
        request = control_pb2.UpdateClusterRequest(
            spec=to_message(spec), version=version, rotated=rotated
        )
        try:
            await control.UpdateCluster(request)
        except Conflict as err:
            raise out_of_sequence(err) from err
    return replies.nothing(200)


async def unlock_key(ask: Exchange) -> Reply:
    """GET /swarm/unlockkey"""
    async with managing(ask) as control:
        await control.GetCluster(control_pb2.GetClusterRequest())
    return replies.json({"UnlockKey": ""})  # no swarm is locked


async def unlock_swarm(ask: Exchange) -> Reply:
    """POST /swarm/unlock"""
    await ask.decoded(UnlockJson)
    if not (await status(ask)).node_id:
        raise Denied(UNAVAILABLE, OUTSIDE)
    raise Denied(CONFLICT, "swarm is not locked")


async def _check_outside(ask: Exchange) -> None:
    if (await status(ask)).node_id:
        raise Denied(UNAVAILABLE, IN_SWARM)


def _switch(query: Query, name: str) -> bool:
    """True or false, as Go writes them; anything else is refused."""
    text = query.text(name)
    if text.lower() in ("", "0", "f", "false"):
        return False
    if text.lower() in ("1", "t", "true"):
        return True
    raise Invalid(f"invalid value for {name}: {text}", hint="write true or false")


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/swarm", inspect_swarm),
    Route("POST", "/swarm/init", init_swarm),
    Route("POST", "/swarm/join", join_swarm),
    Route("POST", "/swarm/leave", leave_swarm),
    Route("POST", "/swarm/update", update_swarm),
    Route("GET", "/swarm/unlockkey", unlock_key),
    Route("POST", "/swarm/unlock", unlock_swarm),
)
