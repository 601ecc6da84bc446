"""Put together what runs containers for people, beside the tasks of the swarm.

At its start every container that the last agent knew is told what became of it; only then its
socket is served, so nobody sees a container between two states. Containers of tasks are the
agent's own business, and are passed on.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom

import structlog
from msgspec import Struct

from agent.config import Config
from agent.containers import Node
from agent.events import Examined, Exited
from agent.images.io.locks import Locks
from agent.images.io.store import ImageStore
from agent.images.removal import Use
from agent.io.connections import Connections
from agent.io.images import tell_of_name
from agent.io.supply import Supply
from agent.io.volumes import Volumes
from agent.metrics import Metrics
from agent.standalone import booting, making
from agent.standalone.booting import Trace
from agent.standalone.events import Booted
from agent.standalone.io.archives import Archives
from agent.standalone.io.commits import Commits
from agent.standalone.io.endpoints import Endpoints
from agent.standalone.io.forking import Forking
from agent.standalone.io.guests import Guests
from agent.standalone.io.host_files import HostFiles
from agent.standalone.io.journal import Journal
from agent.standalone.io.layering import Layering
from agent.standalone.io.lives import Lives
from agent.standalone.io.local_networks import LocalNetworks
from agent.standalone.io.logs import Logs
from agent.standalone.io.managers import Dispatcher
from agent.standalone.io.networks import Attaching
from agent.standalone.io.networks_service import LocalNetworksService
from agent.standalone.io.performing import Performing, Spawn
from agent.standalone.io.reaching import Reaching
from agent.standalone.io.requests import Requests
from agent.standalone.io.samples import Samples
from agent.standalone.io.service import ContainersService, Parts
from agent.standalone.io.showing import Showing
from agent.standalone.io.storage import Storage
from agent.standalone.io.streams import Streams
from agent.standalone.io.tasks import TaskContainers
from agent.standalone.io.tops import Tops
from agent.standalone.io.waiting import Waiting
from agent.standalone.naming import ID_LENGTH
from agent.tasks import Tasks
from runtime import outcome
from runtime.io.client import Runtime
from swarm.errors import SwarmError
from swarm.ids import TaskId
from swarm.specs import Port
from swarm.standalone import ContainerState
from swarm.volumes import LOCAL


class World(Struct, frozen=True, kw_only=True):
    """What containers need of the agent. `image_id` says which image a task was made from, and
    `why_taken` whose a port of the node is, if it is somebody's. `forgotten` hears that a container
    is no more."""

    config: Config
    tasks: Tasks
    runtime: Runtime
    images: Supply
    store: ImageStore
    images_changed: Callable[[], None]
    forgotten: Callable[[], None]
    volumes: Volumes
    connections: Connections
    networks: LocalNetworks
    why_taken: Callable[[Port], str]
    dispatcher: Dispatcher
    node: Callable[[], Node]
    image_id: Callable[[TaskId], str]
    spawn: Spawn
    metrics: Metrics
    log: structlog.stdlib.BoundLogger


class Standalone:
    """The containers of this node that are no tasks'. `open` it before anything is served."""

    def __init__(self, world: World) -> None:
        self._world = world
        config, runtime = world.config, world.runtime
        self.journal = Journal()
        self._storage = Storage(config.standalone, world.log)
        self._tasks = TaskContainers(
            config, world.tasks, runtime=runtime, image_id=world.image_id, journal=self.journal
        )
        self.lives = Lives(
            self._storage,
            journal=self.journal,
            assigned=self._tasks,
            random=SystemRandom(),
            forgotten=world.forgotten,
        )
        self._guests = Guests(
            world.tasks.assignments.topology,
            world.connections,
            node_id=config.node_id,
            dispatcher=world.dispatcher,
            log=world.log,
        )
        self._attaching = Attaching(
            world.networks,
            world.connections,
            self.lives,
            guests=self._guests,
            node_id=config.node_id,
            files=HostFiles(config.run_root),
            why_taken=world.why_taken,
            journal=self.journal,
            log=world.log,
        )
        self._endpoints = Endpoints(
            world.networks, world.connections, self.lives, world.tasks.assignments.topology
        )
        self.networks_service = LocalNetworksService(
            world.networks, world.connections, self.lives, self._endpoints, self.journal
        )
        self._forking = Forking()
        self._writing: Locks[str] = Locks()
        self._reaching = Reaching(
            self.lives,
            images=world.images,
            volumes=world.volumes,
            node=world.node,
            run_root=config.run_root,
            room=str(world.store.building().temporary),
        )
        self._commits = Commits(
            self.lives,
            self._reaching,
            world.store.building,
            layering=Layering(self._forking),
            runtime=runtime,
            named=partial(tell_of_name, world.store, self.journal.tell),
            changed=world.images_changed,
        )
        self._requests = Requests(
            self.lives,
            self._storage,
            tasks=self._tasks,
            runtime=runtime,
            images=world.images,
            volumes=world.volumes,
            check=self._attaching.check,
            renamed=self._attaching.renamed,
            unlinked=self._attaching.unlinked,
            pruned=lambda freed: self.tell_of_pruning("container", freed),
            node=world.node,
        )
        self._streams = Streams(
            self.lives,
            runtime,
            kill=self._requests.kill,
            spawn=world.spawn,
            log=world.log,
        )
        self._performing = Performing(
            self.lives,
            self._storage,
            runtime=runtime,
            run=self._streams.run,
            refuse=self._streams.refuse,
            images=world.images,
            volumes=world.volumes,
            attaching=self._attaching,
            writing=self._writing,
            journal=self.journal,
            node=world.node,
            spawn=world.spawn,
            metrics=world.metrics,
            log=world.log,
        )
        self.service = ContainersService(self._parts())

    def _parts(self) -> Parts:
        world, lives = self._world, self.lives
        return Parts(
            requests=self._requests,
            waiting=Waiting(lives, self._tasks),
            showing=Showing(
                lives,
                tasks=self._tasks,
                images=world.images,
                healths=world.runtime,
                endpoints=self._endpoints,
                node=world.node,
                run_root=world.config.run_root,
            ),
            logs=Logs(lives, self._tasks),
            samples=Samples(lives, world.runtime),
            tops=Tops(lives, world.runtime, self.journal),
            journal=self.journal,
            streams=self._streams,
            archives=Archives(
                lives, self._reaching, self._forking, self._commits, writing=self._writing
            ),
            connecting=self._attaching,
        )

    async def open(self, found: Mapping[str, outcome.ContainerState]) -> None:
        """Go on with what the last agent left; `found` is what the runtime has."""
        records = self._storage.load()
        await self._commits.recover(self._world.config.standalone)
        self._tasks.open()
        self.lives.open(records, self._performing.perform)
        for record in records:
            trace = self._trace(found.get(record.id))
            is_checked = making.is_checked(record)
            for event in booting.events(record.life, trace, is_checked=is_checked):
                self.lives.tell(record.id, event)
        for container_id in found:
            if self.is_ours(container_id) and not Path(self._storage.own(container_id)).exists():
                # It was removed but for its container, or never written down.
                self._world.spawn(self._bury(container_id))
        if self._is_first():
            for record in records:
                self.lives.tell(record.id, Booted())
        known = (self._world.connections.connection(TaskId(each.id)) for each in records)
        self._guests.adopt(each for each in known if each is not None)
        self._world.spawn(self._attaching.resume())
        if not self._world.config.is_alone:
            self._world.spawn(self._guests.run())

    @property
    def attaching(self) -> Attaching:
        """What gives containers their places in networks, those of builds, too."""
        return self._attaching

    async def close(self) -> None:
        """Let go; what runs goes on."""
        self.lives.close()
        self.journal.close()
        await self._forking.close()

    @staticmethod
    def is_ours(container_id: str) -> bool:
        """Whether it is no task's, by its id alone."""
        return len(container_id) == ID_LENGTH

    def exited(self, container_id: str, event: Exited) -> None:
        """The runtime tells of an end."""
        self._world.metrics.exits.inc()
        self._world.metrics.oom_kills.inc(int(event.oom_killed))
        self._world.log.info(
            "container.exited",
            container_id=container_id,
            exit_code=event.exit_code,
            oom_killed=event.oom_killed,
        )
        self.lives.tell(container_id, event)

    def examined(self, container_id: str, event: Examined) -> None:
        """A health check has found out something."""
        self.lives.tell(container_id, event)

    def tell_of_volume(self, action: str, name: str) -> None:
        """A volume was made or removed."""
        self.journal.tell("volume", action, name, {"driver": LOCAL}, name=name)

    def tell_of_pruning(self, kind: str, freed_bytes: int) -> None:
        """What nobody used was removed."""
        self.journal.tell(kind, "prune", "", {"reclaimed": str(freed_bytes)})

    def changed(self, task_id: TaskId) -> None:
        """Something happened to a task."""
        self._tasks.changed(task_id)

    def pid_of(self, container_id: str) -> int:
        """Its first process; 0 while it does not run."""
        record = self.lives.record(container_id)
        return record.life.pid if record is not None else 0

    def image_uses(self) -> tuple[Use, ...]:
        """The images that containers were made from."""
        return tuple(
            Use(image_id=each.image_id, container=each.id, is_running=each.life.is_active)
            for each in self.lives.records()
        )

    def volume_users(self) -> dict[str, tuple[str, ...]]:
        """The containers that have each volume; one that is being removed has none any more."""
        found: dict[str, tuple[str, ...]] = {}
        for each in self.lives.records():
            if each.life.state is not ContainerState.REMOVING:
                for name in making.volume_names(each):
                    found[name] = (*found.get(name, ()), each.id)
        return found

    def volumes_mounted(self) -> frozenset[str]:
        """The volumes of containers that run or are about to."""
        busy = (each for each in self.lives.records() if each.life.is_busy)
        return frozenset(name for each in busy for name in making.volume_names(each))

    def _trace(self, state: outcome.ContainerState | None) -> Trace | None:
        if state is None:
            return None
        ended = state.exited
        is_paused = False
        if ended is None:
            with contextlib.suppress(SwarmError):
                is_paused = self._world.runtime.is_paused(state.container_id)
        return Trace(
            pid=state.pid,
            started_at=state.started_at,
            exited=exit_of(ended) if ended is not None else None,
            is_paused=is_paused,
        )

    async def _bury(self, container_id: str) -> None:
        try:
            await self._world.runtime.delete(container_id, keep_log=True, keep_layer=True)
        except SwarmError as err:
            self._world.log.warning(
                "container.not_removed", container_id=container_id, reason=err.message
            )

    def _is_first(self) -> bool:
        """Whether no agent of this swarmd was here before us, since the host was started."""
        mark = self._world.config.standalone / ".daemon"
        parent = f"{_read('/proc/sys/kernel/random/boot_id')} {os.getppid()} {_ticks(os.getppid())}"
        if _read(str(mark)) == parent:
            return False
        fresh = mark.with_name(".daemon.new")
        fresh.write_text(parent)
        fresh.replace(mark)
        return True


def exit_of(exited: outcome.Exited) -> Exited:
    """How a run ended, as lives are told."""
    return Exited(
        exit_code=exited.exit_code,
        oom_killed=exited.oom_killed,
        message=exited.message,
        finished_at=exited.finished_at or time.time(),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _ticks(pid: int) -> str:
    """When a process started, which tells it from a later one with its number."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split(" ")[20:21][0] if pid else ""
