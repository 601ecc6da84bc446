"""Put a manager together, and take it apart in the right order.

Callers are let in once the view is loaded: nobody is told that what exists does not. On the
way out the leadership goes first, then the sessions, then the lease that vouches for them;
all of that within a second, because whoever waits for us to go waits with tasks to run.
"""

import asyncio
import signal
from collections.abc import Awaitable
from pathlib import Path
from random import Random, SystemRandom

import grpc.aio
import structlog
from msgspec import Struct, structs

from manager.config import OWN_MAX_TXN_OPS, Config
from manager.groups import EXTERNAL_ETCD
from manager.io.autoscaling import Autoscaling
from manager.io.calls import CountingInterceptor, LeaderInterceptor
from manager.io.contents import Contents
from manager.io.control import Control, Parts
from manager.io.dispatcher import Dispatcher
from manager.io.election import Election
from manager.io.etcd import EtcdStore, Target
from manager.io.forecasts import Forecasts
from manager.io.images import Images
from manager.io.leader import Leader
from manager.io.looking import Looking
from manager.io.mirror import Mirror
from manager.io.network_checks import NetworkChecks
from manager.io.network_keys import NetworkKeys
from manager.io.networks import Networks
from manager.io.presence import Presence
from manager.io.programs import Programs
from manager.io.reach import Reach
from manager.io.rebalancing import Rebalancing
from manager.io.rollouts import Rollouts
from manager.io.service import DispatcherService
from manager.io.services import Services
from manager.io.serving import Trusted, bind, make_server
from manager.io.triggers import Triggers
from manager.io.trust import Trust
from manager.io.watching import Watches
from manager.metrics import Metrics
from manager.store import Limits, Store
from swarm.access import ALLOWED
from swarm.api.v1 import control_pb2_grpc, dispatch_pb2_grpc, trust_pb2_grpc
from swarm.certificates import Identity
from swarm.errors import Unavailable
from swarm.io import metrics as metrics_server
from swarm.io.identity import IdentityFiles
from swarm.io.private import load_data_key
from swarm.io.rpc import ErrorInterceptor, RoleInterceptor
from swarm.io.tls import channel
from swarm.sealing import DataKey

LOOK_EVERY_S = 30.0
GOODBYE_S = 0.5
ELECTION_TTL_S = 4


class Keys(Struct, frozen=True, kw_only=True):
    """What this manager proves itself with, and what it opens the swarm's secrets with."""

    files: IdentityFiles
    data_key: DataKey


class Manager:
    """One manager process, on a store that others may share."""

    def __init__(
        self,
        config: Config,
        store: Store,
        keys: Keys,
        log: structlog.stdlib.BoundLogger,
        *,
        random: Random | None = None,
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self.mirror = Mirror(store, log, self.metrics)
        self.leader = Leader(self.mirror, log)
        self.presence = Presence(
            self.mirror,
            log,
            node_id=config.node_id,
            address=config.advertise_addr,
            ttl_s=config.lease_ttl_s,
        )
        self.dispatcher = Dispatcher(self.mirror, self.presence, log, data_key=keys.data_key)
        self.election = Election(
            store,
            node_id=config.node_id,
            address=config.advertise_addr,
            heard=self.leader.heard,
            log=log,
            ttl_s=ELECTION_TTL_S,
        )
        self.rebalancing = Rebalancing(self.mirror, self.leader, log)
        self.trusted = Trusted(self.mirror, keys.files, keys.data_key)
        self.network_keys = NetworkKeys(
            self.mirror, self.leader, keys.data_key, log, random=random or SystemRandom()
        )
        self.port = 0
        self.is_serving = asyncio.Event()
        self._keys = keys
        self._log = log
        self._random = random or SystemRandom()
        self._stopped = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    def stop(self) -> None:
        """Have `run` end soon."""
        self._stopped.set()

    async def run(self) -> None:
        """Serve and, when elected, lead, until `stop`."""
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(self.mirror.run())]
                if await self._or_stopped(self.mirror.loaded()):
                    self.dispatcher.inherit()
                    running += [
                        group.create_task(self.presence.run(self.dispatcher.lines.values)),
                        group.create_task(self.dispatcher.run()),
                        group.create_task(self.leader.run()),
                    ]
                    election = group.create_task(self.election.run())
                    autoscaling = await self._serve()
                    running += [
                        group.create_task(self.rebalancing.run()),
                        group.create_task(self.network_keys.run()),
                        group.create_task(autoscaling.run()),
                    ]
                    await self._stopped.wait()
                    await self._leave(election)
                for task in running:
                    task.cancel()
        finally:
            if self._server is not None:
                await self._server.stop(None)

    async def _serve(self) -> Autoscaling:
        """Let callers in; returns who reads, through the same parts, what tasks use."""
        server = self._server = make_server(
            (
                CountingInterceptor(self.metrics),
                ErrorInterceptor(self._log),
                RoleInterceptor(
                    access=ALLOWED,
                    anchors=self.trusted.anchors,
                    role_of=self.trusted.role_of,
                    now=self.mirror.clock,
                ),
                LeaderInterceptor(self.leader, lambda to: channel(to, self._identity())),
            )
        )
        looking = self._add_services(server)
        self.port = bind(server, self.config.listen_addr, self.trusted.serving)
        await server.start()
        self.metrics.follow(lambda: self.mirror.view)
        if self.config.metrics_addr:
            self._show_metrics(self.config.metrics_addr)
        self._log.info("manager.started", listen_addr=self.config.listen_addr, port=self.port)
        self.is_serving.set()
        return Autoscaling(
            self.mirror,
            self.leader,
            lambda request: looking.stats(request, self.config.node_id, is_relayed=False),
            self._log,
        )

    def _show_metrics(self, address: str) -> None:
        """A busy port is told and lived with: nobody's tasks should wait for it."""
        try:
            metrics_server.serve(address, self.metrics.registry)
        except Unavailable as err:
            self._log.error("metrics.failed", reason=err.message, hint=err.hint)

    def _add_services(self, server: grpc.aio.Server) -> Looking:
        images = Images(
            self.mirror,
            self.dispatcher.preflights,
            insecure=self.config.insecure_registries,
            ca_dir=Path(self.config.registry_ca_dir) if self.config.registry_ca_dir else None,
        )
        services = Services(
            self.mirror,
            self.leader,
            self.dispatcher.preflights,
            images,
            self._keys.data_key,
            random=self._random,
        )
        watches = Watches(self.mirror)
        reach = Reach(
            self.mirror,
            self.dispatcher.conversations,
            node_id=self.config.node_id,
            dial=lambda to: channel(to, self._identity()),
        )
        looking = Looking(self.mirror, reach, watches.tell, self._log)
        parts = Parts(
            mirror=self.mirror,
            leader=self.leader,
            services=services,
            rollouts=Rollouts(self.mirror, services),
            triggers=Triggers(self.mirror, services),
            forecasts=Forecasts(self.mirror, self.leader, services, self.rebalancing),
            contents=Contents(self.mirror, services, self._keys.data_key, random=self._random),
            networks=Networks(
                self.mirror,
                services,
                self.dispatcher.preflights,
                watches.tell,
                random=self._random,
            ),
            network_checks=NetworkChecks(self.mirror, reach),
            watches=watches,
            logs=self.dispatcher.logs,
            programs=Programs(self.mirror, reach, watches.tell, self._log),
            looking=looking,
            data_key=self._keys.data_key,
            random=self._random,
            node_id=self.config.node_id,
            address=self.config.advertise_addr,
        )
        trust = Trust(
            self.mirror,
            self.leader,
            services,
            authority=self.trusted.authority,
            random=self._random,
        )
        control_pb2_grpc.add_ControlServicer_to_server(Control(parts), server)
        dispatch_pb2_grpc.add_DispatcherServicer_to_server(
            DispatcherService(self.dispatcher), server
        )
        trust_pb2_grpc.add_TrustServicer_to_server(trust, server)
        return looking

    async def _leave(self, election: asyncio.Task[None]) -> None:
        self._log.info("manager.stopping")
        self.election.resign()
        self.dispatcher.close()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await election
                await self.presence.leave()
        except TimeoutError:
            self._log.warning("manager.left_leases_to_lapse")
            election.cancel()
        if self._server is not None:
            await self._server.stop(0.1)
            self._server = None

    async def _or_stopped(self, event: Awaitable[object]) -> bool:
        """Wait for `event`; False when we are stopped before it comes."""
        waiting = asyncio.ensure_future(event)
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        stopped.cancel()
        return not self._stopped.is_set()

    def _identity(self) -> Identity:
        return self._keys.files.current()


async def run(config: Config, log: structlog.stdlib.BoundLogger) -> None:
    """Run the manager that `config` describes, until SIGTERM or SIGINT."""
    keys = Keys(
        files=IdentityFiles(Path(config.certificates_dir)),
        data_key=load_data_key(Path(config.data_key_path)),
    )
    store = EtcdStore(_target(config, keys.files.current()))
    manager = Manager(config, store, keys, log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, manager.stop)
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(_renew(store, keys.files, log))
        await manager.run()
        renewing.cancel()
    await store.close()


async def _renew(store: EtcdStore, files: IdentityFiles, log: structlog.stdlib.BoundLogger) -> None:
    """Show etcd the certificate that swarmd renewed; an old one expires under a live channel."""
    known = files.current()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        identity = files.current()
        if identity != known:
            await store.renew(identity)
            known = identity
            log.info("certificate.renewed")


def _target(config: Config, identity: Identity) -> Target:
    own = Target(endpoints=config.etcd_endpoints, identity=identity, root=config.store_prefix)
    if config.max_txn_ops == OWN_MAX_TXN_OPS:
        return own
    limits = Limits(operations=config.max_txn_ops, bytes=EXTERNAL_ETCD.bytes)
    return structs.replace(own, limits=limits, server_name="", ping_s=10.0)
