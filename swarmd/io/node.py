"""Be part of a swarm, or not yet, or no longer.

The membership file is the commit point. It is written last when the node enters a swarm, and
first marked, then removed, when it leaves: a node that crashed in between has either never
entered, or finishes leaving when it starts again.

The launcher and an agent run in any case. What an agent is told does not change while it runs, so
entering and leaving start another one; containers outlive that.
"""

import asyncio
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom

import structlog
from msgspec import Struct
from msgspec.structs import replace

from swarm.certificates import Identity
from swarm.errors import Refused, SwarmError, Unavailable
from swarm.io.identity import IdentityFiles
from swarm.io.private import remove_private
from swarm.specs import Availability, ClusterSpec, Role
from swarmd import parts
from swarmd.io import files
from swarmd.io.addresses import advertised, data_path_of, listening, require_local
from swarmd.io.notify import is_supervised
from swarmd.io.processes import Supervisor
from swarmd.settings import Membership, Settings

_OUT_HINT = "`swarmctl init` starts a swarm, `swarmctl join` joins one"
_IN_HINT = "`swarmctl leave` leaves it first"


class Entered(Struct, frozen=True, kw_only=True):
    """How a node came into its swarm; `worker_token` only from founding it."""

    membership: Membership
    worker_token: str = ""


class _Command(Struct, frozen=True, kw_only=True):
    """How to start swarmd again, for the launcher."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str


class Node:
    """This host's membership and the processes that follow from it."""

    def __init__(self, settings: Settings, log: structlog.stdlib.BoundLogger) -> None:
        self.settings = settings
        self.membership: Membership | None = None
        self.supervisor = Supervisor(log, record=settings.children_file)
        self.identity = IdentityFiles(settings.certificates)
        self._log = log
        self._changing = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    @property
    def hostname(self) -> str:
        """What this node is called."""
        return self.settings.hostname or platform.node()

    def require_membership(self) -> Membership:
        """The swarm this node is in; `Refused` when it is in none."""
        if self.membership is None:
            raise Refused("this node is not part of a swarm", hint=_OUT_HINT)
        return self.membership

    async def resume(self) -> None:
        """Go on where the last swarmd stopped or crashed."""
        async with self._changing:
            found = files.read(self.settings.membership_file, Membership)
            self.supervisor.want(parts.launcher(self.settings, respawn=self._respawn()))
            if found is None:
                # Whoever crashed before he was a member has an identity of nobody, for all to see.
                self.identity.retract()
                await self._run(None)
            elif found.is_leaving:
                self._log.warning("leave.resumed", node_id=found.node_id)
                await self._purge(found)
            else:
                await self._run(found)

    async def stop(self) -> None:
        """Stop every part. Containers go on."""
        if self._renewing is not None:
            self._renewing.cancel()
        await self.supervisor.stop_all()

    async def init(
        self,
        spec: ClusterSpec,
        *,
        advertise: str,
        listen: str,
        availability: Availability,
        data_path: str = "",
    ) -> Entered:
        """Found a swarm on this node; nothing is left behind when it fails."""
        from swarmd.io.founding import Foundation

        async with self._changing:
            self._require_apart()
            advertise_addr, listen_addr = self._addresses(advertise, listen)
            foundation = Foundation(
                self.settings,
                spec,
                listen_addr=listen_addr,
                advertise_addr=advertise_addr,
                data_path_addr=data_path_of(data_path or self.settings.data_path_addr),
            )
            foundation.lay_down()
            membership = foundation.membership
            try:
                self._start_etcd(membership)
                await foundation.store(availability, self.hostname)
                files.write(self.settings.membership_file, membership)
            except BaseException:
                await self.supervisor.stop(parts.ETCD)
                self._sweep()
                raise
            await self._run(membership)
            self._log.info("swarm.founded", node_id=membership.node_id)
            return Entered(membership=membership, worker_token=foundation.worker_token)

    async def join(
        self, token: str, manager_addr: str, *, advertise: str, listen: str,
        availability: Availability, data_path: str = "",
    ) -> Entered:  # fmt: skip
        """Join the swarm of the manager at `manager_addr`."""
        from swarmd.io.identity import join

        async with self._changing:
            self._require_apart()
            advertise_addr, listen_addr = self._addresses(advertise, listen)
            data_path_addr = data_path_of(data_path or self.settings.data_path_addr)
            joined = await join(
                manager_addr,
                token,
                files=self.identity,
                hostname=self.hostname,
                availability=availability,
                now=time.time,
                random=SystemRandom(),
            )
            membership = Membership(
                node_id=joined.subject.node_id,
                cluster_id=joined.subject.cluster_id,
                role=joined.subject.role,
                listen_addr=listen_addr,
                advertise_addr=advertise_addr,
                managers=tuple(dict.fromkeys((manager_addr, *joined.managers))),
                data_path_addr=data_path_addr,
            )
            self.identity.install(joined.identity)
            files.write(self.settings.membership_file, membership)
            await self._run(membership)
            self._log.info("swarm.joined", node_id=membership.node_id)
            return Entered(membership=membership)

    async def leave(self, *, force: bool) -> None:
        """Stop and remove the containers of tasks, and forget the swarm."""
        async with self._changing:
            membership = self.require_membership()
            if membership.role is Role.MANAGER and not force:
                raise Refused(
                    "this node is the swarm's manager: when it leaves, the swarm is gone",
                    hint="`swarmctl leave --force` does it all the same",
                )
            leaving = replace(membership, is_leaving=True)
            files.write(self.settings.membership_file, leaving)
            await self._purge(leaving)
            self._log.info("swarm.left", node_id=membership.node_id)

    def _addresses(self, advertise: str, listen: str) -> tuple[str, str]:
        wanted = listen or self.settings.listen_addr
        address = advertised(advertise or self.settings.advertise_addr, listen_addr=wanted)
        require_local(address)
        return address, listening(wanted, address)

    def _require_apart(self) -> None:
        if self.membership is not None:
            raise Refused("this node is already part of a swarm", hint=_IN_HINT)

    def _start_etcd(self, membership: Membership) -> None:
        self.supervisor.want(
            parts.etcd_member(
                self.settings, membership, environment=os.environ, our_pid=os.getpid()
            )
        )

    async def _run(self, membership: Membership | None) -> None:
        """Have the parts run that this membership calls for; None is of no swarm."""
        self.membership = membership
        if membership is not None and membership.role is Role.MANAGER:
            self._start_etcd(membership)
            config = self.settings.run / "manager.json"
            files.write(config, parts.manager_config(self.settings, membership))
            self.supervisor.want(parts.reading(parts.MANAGER, config))
        await self.supervisor.stop(parts.AGENT)
        self.supervisor.want(parts.reading(parts.AGENT, self._tell_agent(membership)))
        if membership is not None:
            self._renewing = asyncio.create_task(self._keep_valid())

    def _tell_agent(self, membership: Membership | None) -> Path:
        """The file that says what the next agent is to do."""
        config = self.settings.run / "agent.json"
        files.write(config, parts.agent_config(self.settings, membership, hostname=self.hostname))
        return config

    def start_engine(self, doors: Mapping[str, int]) -> None:
        """Have the engine serve these sockets from now on."""
        config = self.settings.run / "engine.json"
        files.write(config, parts.engine_config(self.settings, hostname=self.hostname))
        self.supervisor.want(parts.engine(config, doors))

    def _respawn(self) -> tuple[str, ...]:
        if is_supervised():
            return ()
        file = self.settings.run / "swarmd.json"
        command = _Command(
            argv=(sys.executable, "-P", "-m", "swarmd.main", *sys.argv[1:]),
            env=dict(os.environ),
            cwd=str(Path.cwd()),
        )
        files.write(file, command)
        return ("--respawn", str(os.getpid()), str(file))

    async def _keep_valid(self) -> None:
        from swarmd.io.identity import keep_valid

        await keep_valid(
            self.identity, self._renew, now=time.time, random=SystemRandom(), log=self._log
        )

    async def _renew(self, identity: Identity) -> Identity:
        from swarmd.io.identity import renew

        problem: SwarmError = Unavailable("no manager is known")
        for address in self.manager_addresses():
            try:
                return await renew(address, identity, random=SystemRandom())
            except SwarmError as err:
                problem = err
        raise problem

    def manager_addresses(self) -> tuple[str, ...]:
        """Managers to ask: this one if it is one, those the agent last heard of, the first."""
        membership = self.require_membership()
        own = (membership.advertise_addr,) if membership.role is Role.MANAGER else ()
        return tuple(dict.fromkeys((*own, *membership.managers)))

    async def _purge(self, membership: Membership) -> None:
        """Undo all that being in a swarm made; safe to repeat after a crash."""
        if self._renewing is not None:
            self._renewing.cancel()
        # It says goodbye, if it can; the purge below does not rely on it.
        await self.supervisor.stop(parts.AGENT, by=signal.SIGUSR1)
        config = self._tell_agent(membership)
        purge = await asyncio.create_subprocess_exec(
            *parts.module("agent.main", "--config", str(config), "--purge")
        )
        if await purge.wait():
            raise Unavailable("not every container could be removed", hint="see swarmd's log")
        for name in (parts.MANAGER, parts.ETCD):
            await self.supervisor.stop(name)
        self._sweep()
        remove_private(self.settings.membership_file)
        await self._run(None)

    def _sweep(self) -> None:
        shutil.rmtree(self.settings.etcd_dir, ignore_errors=True)
        self.settings.etcd_log.unlink(missing_ok=True)
        remove_private(self.settings.data_key_file)
        self.identity.forget()
        (self.settings.run / "manager.json").unlink(missing_ok=True)
