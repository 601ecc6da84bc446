"""Calls that last do not notice that the node's certificate was renewed."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio

from swarm.io.log import configure
from swarm.io.tls import server_credentials
from swarm.specs import Role
from swarmd.io.daemon import Daemon
from swarmd.settings import Membership, Settings
from tests.trust import Swarm

LOG = configure("test")
METHOD = "/swarm.api.v1.Control/Exec"


async def answer_each(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for each in requests:
        yield each


async def manager_of(swarm: Swarm) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(answer_each)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("swarm.api.v1.Control", {"Exec": handler}),)
    )
    port = server.add_secure_port("127.0.0.1:0", server_credentials(swarm.serving))
    await server.start()
    return server, f"127.0.0.1:{port}"


def test_a_call_goes_on_over_a_renewal_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """1. Somebody talks through the daemon to a manager.
    2. The node's certificate is renewed: the next caller gets a channel at once, and another.
    3. The first conversation goes on.
    """

    async def story() -> None:
        swarm = Swarm(time.time())
        server, address = await manager_of(swarm)
        daemon = Daemon(Settings(data_root=str(tmp_path), run_root=str(tmp_path)), LOG)
        node = daemon._node
        node.membership = Membership(
            node_id="node1", cluster_id="swarm1", role=Role.WORKER, listen_addr="",
            advertise_addr="", managers=(address,),
        )  # fmt: skip
        try:
            node.identity.install(swarm.node())
            first = await daemon._to_manager()
            call = first.stream_stream(METHOD)()
            await call.write(b"one")
            assert await call.read() == b"one"

            node.identity.install(swarm.node())
            async with asyncio.timeout(30):
                second = await daemon._to_manager()

            assert second is not first
            await call.write(b"two")
            assert await asyncio.wait_for(call.read(), 30) == b"two"
            call.cancel()
            await second.close()
            await asyncio.gather(*daemon._retired)
        finally:
            await server.stop(None)

    asyncio.run(story())
