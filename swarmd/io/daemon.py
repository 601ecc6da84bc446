"""Run the node daemon: one lock, one socket, one node.

The socket is readable by root only, and stands before the node's parts do: swarmctl may ask
while they start. Calls for the cluster go to a manager, those for what this host has to the agent,
which is there without a swarm, too.
"""

import asyncio
import os
from contextlib import suppress

import grpc
import grpc.aio
import structlog

from runtime.io.launching import say_stopping
from swarm.api.v1 import daemon_pb2_grpc
from swarm.io import tls
from swarm.io.rpc import ErrorInterceptor
from swarmd.io import lock, notify
from swarmd.io.children import wait_gone
from swarmd.io.doors import Doors
from swarmd.io.node import Node
from swarmd.io.relay import Dial, Relay
from swarmd.io.service import DaemonService
from swarmd.settings import Settings

LONGEST_CALL_S = 86_400.0
FRAME_BYTES = 1 << 18

_OF_THIS_HOST = ("Images", "Volumes", "Containers", "LocalNetworks", "Builds")

_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Daemon:
    """swarmd's shell."""

    def __init__(self, settings: Settings, log: structlog.stdlib.BoundLogger) -> None:
        self._settings = settings
        self._log = log
        self._node = Node(settings, log)
        self._doors = Doors(
            settings,
            knocked=self._node.start_engine,
            lets_in=lambda: self._node.membership is not None,
            log=log,
        )
        self._server = grpc.aio.server(
            interceptors=(ErrorInterceptor(log),),
            # swarmctl cuts what it sends into frames, each of which costs it time.
            options=(*_UNLIMITED, ("grpc.http2.max_frame_size", FRAME_BYTES)),
        )
        self._managers: tuple[object, grpc.aio.Channel] | None = None
        self._agent: grpc.aio.Channel | None = None
        self._retired: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Listen, then bring this node back to where it was."""
        lock.acquire(self._settings.run / "swarmd.lock")
        await wait_gone(self._settings.children_file)
        self._settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        daemon_pb2_grpc.add_DaemonServicer_to_server(DaemonService(self._node), self._server)
        routes: dict[str, Dial] = {"swarm.api.v1.Control": self._to_manager}
        routes |= {f"swarm.api.v1.{service}": self._to_agent for service in _OF_THIS_HOST}
        self._server.add_generic_rpc_handlers((Relay(routes),))
        await self._listen()
        self._doors.open()
        await self._node.resume()
        notify.notify("READY=1")
        self._log.info("daemon.started", pid=os.getpid(), socket=str(self._settings.socket))

    async def stop(self) -> None:
        """Stop serving and stop the parts; containers go on."""
        notify.notify("STOPPING=1")
        say_stopping(self._settings.launcher_socket)
        await self._server.stop(0.2)
        await self._node.stop()
        self._doors.close()
        with suppress(FileNotFoundError):
            self._settings.socket.unlink()
        self._log.info("daemon.stopped")

    async def _listen(self) -> None:
        socket = self._settings.socket
        with suppress(FileNotFoundError):
            socket.unlink()
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{socket}")
        finally:
            os.umask(before)
        await self._server.start()

    async def _to_manager(self) -> grpc.aio.Channel:
        address = self._node.manager_addresses()[0]
        identity = self._node.identity.current()
        wanted = (address, identity)
        if self._managers is None or self._managers[0] != wanted:
            if self._managers is not None:
                self._retire(self._managers[1])
            self._managers = (wanted, tls.channel(address, identity))
        return self._managers[1]

    def _retire(self, channel: grpc.aio.Channel) -> None:
        """Let the calls on an old channel end by themselves: someone may be typing there."""
        closing = asyncio.ensure_future(channel.close(grace=LONGEST_CALL_S))
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)

    async def _to_agent(self) -> grpc.aio.Channel:
        if self._agent is None:
            options = (
                *_UNLIMITED,
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 500),
            )
            self._agent = grpc.aio.insecure_channel(
                f"unix:{self._settings.agent_socket}", options=options
            )
        return self._agent
