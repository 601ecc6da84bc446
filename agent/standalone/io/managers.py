"""Ask the swarm's managers something on behalf of this node's containers.

A session ends at any moment, and another one begins with the next manager: what is asked goes to
whoever listens, again and again for as long as it may take. So what is asked twice must be the
same as what is asked once.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

import grpc
import grpc.aio

from swarm.api.v1 import dispatch_pb2_grpc
from swarm.errors import Unavailable
from swarm.io.rpc import failure

AGAIN_S: Final = 0.1

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Dispatcher(Protocol):
    """How a manager is asked; None while none listens."""

    def __call__(self) -> "dispatch_pb2_grpc.DispatcherAsyncStub | None": ...


class Call(Protocol[T_co]):
    """What a manager is asked, and has a few seconds for."""

    def __call__(
        self, stub: "dispatch_pb2_grpc.DispatcherAsyncStub", left_s: float
    ) -> Awaitable[T_co]: ...


async def ask(dispatcher: Dispatcher, call: Call[T], *, within_s: float) -> T:
    """What a manager answers to `call`.

    Raises what the manager raised, and `Unavailable` when none gave an answer in time.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    while True:
        try:
            return await _answered(dispatcher, call, ends - loop.time())
        except Unavailable:
            if loop.time() + AGAIN_S >= ends:
                raise
        await asyncio.sleep(AGAIN_S)


async def _answered(dispatcher: Dispatcher, call: Call[T], left_s: float) -> T:
    if (stub := dispatcher()) is None:
        raise Unavailable("no manager of the swarm answers", hint="look at the swarm's managers")
    try:
        return await call(stub, left_s)
    except grpc.RpcError as err:
        raise failure(err) from err
    except (grpc.aio.UsageError, asyncio.CancelledError) as err:
        # How gRPC says that the session was closed, before a call and under one.
        task = asyncio.current_task()
        if isinstance(err, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise Unavailable("the manager that was asked went away", hint="try again") from err
