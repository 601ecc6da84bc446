"""Reach the managers, or say in Docker's words why this node cannot.

Nobody is asked beforehand whether this node is a manager: whoever is not is refused by those who
know, and only then it is looked up why.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from engine.io.exchange import Exchange
from engine.refusals import UNAVAILABLE, Denied
from swarm.api.v1 import daemon_pb2
from swarm.errors import Refused, SwarmError
from swarm.specs import Role

if TYPE_CHECKING:
    from swarm.api.v1.control_pb2_grpc import ControlAsyncStub

NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
NO_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)


@asynccontextmanager
async def managing(ask: Exchange) -> AsyncGenerator["ControlAsyncStub"]:
    """The managers. What they refuse because of what this node is, is told as Docker does."""
    try:
        yield ask.backends.control
    except Refused as err:
        raise await _explained(ask, err) from err


async def status(ask: Exchange) -> daemon_pb2.GetStatusResponse:
    """What this node is."""
    return await ask.backends.daemon.GetStatus(daemon_pb2.GetStatusRequest())


async def is_manager(ask: Exchange) -> bool:
    """Whether this node is one of the swarm's managers."""
    found = await status(ask)
    return bool(found.node_id) and Role(found.role) is Role.MANAGER


async def _explained(ask: Exchange, err: Refused) -> SwarmError:
    found = await status(ask)
    if not found.node_id:
        return Denied(UNAVAILABLE, NO_SWARM)
    return err if Role(found.role) is Role.MANAGER else Denied(UNAVAILABLE, NO_MANAGER)
