"""Put one node's agent together, and take it apart again.

Order matters at the start: containers are found before a manager is dialled, so that the
first snapshot meets all that is here. At the end nothing is said to anyone: containers go on,
and the next agent finds them. Only a node that leaves its swarm ends those of tasks, and says
goodbye.
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom

import grpc.aio
import structlog

from agent import preflight
from agent.attachments import Connection
from agent.build.io.assembly import Builds, remove_leftovers
from agent.config import Config
from agent.events import Event
from agent.exposition import Exposed
from agent.images.io.store import ImageStore
from agent.images.removal import Use
from agent.io import devices, host, lock, memory, volumes
from agent.io.agent import Agent, Asked
from agent.io.connections import remembered
from agent.io.contents import Contents
from agent.io.conversations import Conversations
from agent.io.crew import Crew
from agent.io.examining import Examining
from agent.io.executor import Executor
from agent.io.images import ImagesService, tell_of_name
from agent.io.link import Link
from agent.io.logs import Publisher
from agent.io.looking import Looking
from agent.io.networking import Networking
from agent.io.programs import Programs
from agent.io.purging import delete_all, standing
from agent.io.sampling import Sampled, Sampling
from agent.io.scraping import Containers
from agent.io.supply import Supply, vouched
from agent.io.volume_users import merged, needed_by, volume_users
from agent.io.volumes import Volumes
from agent.io.volumes_service import VolumesService
from agent.metrics import Metrics
from agent.session import Session
from agent.standalone.io.assembly import Standalone, World, exit_of
from agent.tasks import Stray, Tasks
from agent.templates import task_name
from runtime import outcome
from runtime.cgroups.stats import Stats
from runtime.io.client import Runtime
from runtime.io.hierarchies import host_layout
from runtime.io.usage import read_networks, read_stats
from swarm.api.v1 import (
    builds_pb2_grpc,
    containers_pb2_grpc,
    images_pb2_grpc,
    localnetworks_pb2_grpc,
    volumes_pb2_grpc,
)
from swarm.dispatch import (
    CallBack,
    CallOff,
    LogSubscription,
    LogUnsubscription,
    Preflight,
    PreflightResult,
)
from swarm.errors import Missing, Refused, SwarmError
from swarm.ids import TaskId
from swarm.io.identity import IdentityFiles
from swarm.io.metrics import serve as serve_metrics
from swarm.io.rpc import ErrorInterceptor
from swarm.specs import TaskSpec

LOCKED_WITHIN_S = 5.0
LEFT_WITHIN_S = 3.0  # swarmd waits five seconds before it kills us
ANSWERED_WITHIN_S = 1.0
DESCRIBE_AFTER_S = 0.2
_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Service:
    """The running agent. Make it inside a loop; `start`, and `close` in the end."""

    # Both are made by `start`, and refer to each other.
    agent: Agent
    _standalone: Standalone

    def __init__(self, config: Config, log: structlog.stdlib.BoundLogger) -> None:
        self._config = config
        self._log = log
        self.crew = Crew()
        self._metrics = Metrics()
        self._store = ImageStore(config.images)
        self._runtime = Runtime(
            run_root=Path(config.run_root), launcher_socket=Path(config.launcher_socket)
        )
        self._examining = Examining(self._runtime, self._metrics, log)
        self._supply = Supply(
            self._store,
            insecure_registries=config.insecure_registries,
            changed=self._describe_again,
            metrics=self._metrics,
            log=log,
        )
        self._layout = host_layout()
        self._describing: asyncio.TimerHandle | None = None
        self._server = grpc.aio.server(interceptors=(ErrorInterceptor(log),), options=_UNLIMITED)

    async def start(self) -> None:
        """Find what runs here, serve images and metrics, and dial a manager if there is one."""
        config = self._config
        _make_directories(config)
        self._lock = lock.acquire(Path(config.run_root) / "agent.lock", within_s=LOCKED_WITHIN_S)
        volumes.clean(config.volumes)
        await remove_leftovers(config, self._log)
        await self._runtime.connect()
        known = remembered(config.connections)
        adopted = {each.container_id: each for each in await self._runtime.adopt()}
        strays = [await self._stray(each, known) for each in adopted.values()]
        tasks = Tasks(each for each in strays if not Standalone.is_ours(each.task_id))

        def pid_of(task_id: TaskId) -> int:
            return _pid_of(tasks, task_id) or self._standalone.pid_of(task_id)

        self._networking = Networking(
            config,
            tasks.assignments.topology,
            spawn=self.crew.spawn,
            pid_of=pid_of,
            described=self._describe_soon,
            metrics=self._metrics,
            log=self._log,
        )
        self._networking.start(known, {s.task_id: s.pid for s in strays if s.exit is None})
        self._assemble(tasks)
        self._log.info("agent.started", pid=os.getpid(), containers=len(strays))
        self._serve_metrics()
        await self._standalone.open(adopted)
        self._forget_images()
        await self._serve_node()
        self.crew.spawn(self._watch_exits())
        self.crew.spawn(self._watch_healths())
        self.agent.start()
        gc.collect()
        gc.freeze()

    async def leave(self) -> None:
        """Leave the swarm: end all tasks, then say goodbye, so that no slot runs twice.

        What fails here is left to `--purge` and to the manager's patience.
        """
        self.agent.retire()
        kept = standing(self._config)
        try:
            async with asyncio.timeout(LEFT_WITHIN_S):
                await self._executor.rest()
                await delete_all(self._runtime, self._log, kept=kept)
                await self._networking.close(removes=True, kept=kept)
                await self.agent.say_goodbye(within_s=ANSWERED_WITHIN_S)
        except (SwarmError, TimeoutError) as err:
            self._log.warning("node.left_in_silence", reason=str(err) or "out of time")

    async def close(self) -> None:
        """Stop everything but the containers."""
        if self._describing is not None:
            self._describing.cancel()
        await self._standalone.close()
        await self.agent.close()
        await self._builds.close()
        await self._networking.close()
        await self.crew.close()
        await self._server.stop(0.1)
        await self._runtime.close()
        with contextlib.suppress(FileNotFoundError):
            self._config.socket.unlink()
        self._log.info("agent.stopped")

    def _assemble(self, tasks: Tasks) -> None:
        config, log, spawn = self._config, self._log, self.crew.spawn
        self._contents = Contents(config.contents, lambda: tasks.assignments.contents)

        def needed() -> dict[str, tuple[str, ...]]:
            return volume_users(
                tasks,
                host.node(config).host,
                volumes=config.volumes,
                containers=Path(config.run_root) / "containers",
            )

        self._volumes = Volumes(
            config.volumes,
            users=lambda: merged(needed(), self._standalone.volume_users()),
            needed=lambda: needed().keys() | self._standalone.volumes_mounted(),
            tell=self._tell_of_volume,
            changed=self._describe_soon,
        )
        self._executor = Executor(
            runtime=self._runtime,
            images=self._supply,
            node=lambda: host.node(config),
            containers=config.containers,
            contents=self._contents,
            volumes=self._volumes,
            connections=self._networking.connections,
            find=tasks.known,
            pid_of=partial(_pid_of, tasks),
            tell=self._tell,
            spawn=spawn,
            metrics=self._metrics,
            log=log,
        )
        self._standalone = Standalone(
            World(
                config=config,
                tasks=tasks,
                runtime=self._runtime,
                images=self._supply,
                store=self._store,
                images_changed=self._describe_again,
                forgotten=self._forget_images,
                volumes=self._volumes,
                connections=self._networking.connections,
                networks=self._networking.local,
                why_taken=self._networking.why_taken,
                dispatcher=lambda: self.agent.dispatcher,
                node=lambda: host.node(config),
                image_id=self._executor.image_id,
                spawn=spawn,
                metrics=self._metrics,
                log=log,
            )
        )
        self._builds = Builds(
            config,
            self._store,
            networks=self._standalone.attaching,
            node=lambda: host.node(config),
            changed=self._describe_again,
            named=partial(tell_of_name, self._store, self._standalone.journal.tell),
            log=log,
        )
        self._publisher = Publisher(
            containers=str(config.containers), is_over=self._is_over, spawn=spawn, log=log
        )
        programs = Programs(self._runtime, require=self._require, spawn=spawn, log=log)
        looking = Looking(self._runtime, require=self._require, log=log)
        sampling = Sampling(
            running=self._running, read_stats=self._read_stats, read_networks=read_networks
        )
        self._conversations = Conversations(
            {
                "stream": programs.respond,
                "processes": looking.processes,
                "pause": looking.pause,
                "stats": sampling.respond,
                "health": self._examining.respond,
                "network_check": self._networking.checking.respond,
            },
            spawn=spawn,
            log=log,
        )
        managers = dict.fromkeys(config.managers)
        if not config.is_alone:
            managers |= dict.fromkeys(memory.recall(config.managers_file))
        self.agent = Agent(
            tasks=tasks,
            session=Session(tuple(managers), random=SystemRandom()),
            identity=IdentityFiles(Path(config.identity)).current,
            describe=lambda: host.describe(
                config, vouched(self._store.list()), public_key=self._networking.public_key
            ),
            perform=self._executor.perform,
            answer=self._answer,
            left=self._left,
            learned=lambda managers: memory.remember(config.managers_file, managers),
            changed=self._changed,
            settled=self._settled,
            supplied=self._contents.arrived,
            spawn=spawn,
            metrics=self._metrics,
            log=log,
        )
        self._metrics.count_tasks(tasks.states)

    def _serve_metrics(self) -> None:
        described = host.describe(self._config, ())
        self._metrics.cpu.set(described.resources.cpu_millis / 1000)
        self._metrics.memory.set(described.resources.memory_bytes)
        if not self._config.metrics_addr:
            return
        self._metrics.registry.register(
            Containers(
                running=self._exposed, read_stats=self._read_stats, read_networks=read_networks
            )
        )
        self._metrics.registry.register(self._networking.metering)
        try:
            serve_metrics(self._config.metrics_addr, self._metrics.registry)
        except SwarmError as err:
            # Nobody's containers should wait for somebody else's port.
            self._log.error("metrics.not_served", reason=err.message, hint=err.hint)

    async def _serve_node(self) -> None:
        service = ImagesService(
            self._store,
            insecure_registries=self._config.insecure_registries,
            uses=self._image_uses,
            changed=self._describe_again,
            tell=self._standalone.journal.tell,
        )
        images_pb2_grpc.add_ImagesServicer_to_server(service, self._server)
        volumes_pb2_grpc.add_VolumesServicer_to_server(
            VolumesService(
                self._volumes, pruned=partial(self._standalone.tell_of_pruning, "volume")
            ),
            self._server,
        )
        containers_pb2_grpc.add_ContainersServicer_to_server(self._standalone.service, self._server)
        localnetworks_pb2_grpc.add_LocalNetworksServicer_to_server(
            self._standalone.networks_service, self._server
        )
        builds_pb2_grpc.add_BuildsServicer_to_server(self._builds.service, self._server)
        with contextlib.suppress(FileNotFoundError):
            self._config.socket.unlink()
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{self._config.socket}")
        finally:
            os.umask(before)
        await self._server.start()

    def _changed(self, task_id: TaskId) -> None:
        """Something happened to a task; what it was given ends with it."""
        self._publisher.changed(task_id)
        self._standalone.changed(task_id)
        if self._is_over(task_id):
            self._release(task_id)

    def _settled(self) -> None:
        """All that belongs to this node is known: the rest may go."""
        lives = self.agent.tasks.lives
        self._executor.sweep(lives)
        live = [task_id for task_id, life in lives.items() if not life.state.is_terminal]
        self._networking.connections.settled(live)
        try:
            self._contents.sweep(live)
        except OSError as err:
            self._log.warning("contents.not_removed", reason=str(err))
        self.crew.spawn(self._unmount(None))

    def _release(self, task_id: TaskId) -> None:
        try:
            self._contents.remove(task_id)
        except OSError as err:
            self._log.warning("contents.not_removed", task_id=task_id, reason=str(err))
        self.crew.spawn(self._networking.connections.release(task_id))
        wanted = self.agent.tasks.known(task_id)
        if wanted is None:
            self.crew.spawn(self._unmount(None))
        elif needed := needed_by(wanted, host.node(self._config).host):
            self.crew.spawn(self._unmount(needed))

    async def _unmount(self, volumes: frozenset[str] | None) -> None:
        """Unmount those of `volumes` (all, when it is None) that no task needs any more."""
        try:
            await self._volumes.release(volumes)
        except SwarmError as err:
            self._log.warning("volume.not_unmounted", reason=err.message)

    async def _watch_exits(self) -> None:
        async for exited in self._runtime.exits():
            if Standalone.is_ours(exited.container_id):
                self._standalone.exited(exited.container_id, exit_of(exited))
            else:
                self.agent.tell(TaskId(exited.container_id), exit_of(exited))

    def _left(self, link: Link) -> None:
        self._publisher.left(link)
        self._conversations.left(link)

    async def _watch_healths(self) -> None:
        async for task_id, examined in self._examining.changes():
            if Standalone.is_ours(task_id):
                self._standalone.examined(task_id, examined)
            else:
                self.agent.tell(task_id, examined)

    async def _stray(
        self, state: outcome.ContainerState, known: Mapping[TaskId, Connection]
    ) -> Stray:
        task_id = TaskId(state.container_id)
        return Stray(
            task_id=task_id,
            pid=state.pid,
            started_at=state.started_at,
            exit=exit_of(state.exited) if state.exited else None,
            examined=await self._examining.stands(task_id),
            ports=known[task_id].ports if task_id in known else (),
        )

    def _answer(self, link: Link, message: Asked) -> None:
        match message:
            case LogSubscription():
                self._publisher.subscribe(link, message)
            case LogUnsubscription(subscription_id=subscription_id):
                self._publisher.unsubscribe(subscription_id)
            case Preflight():
                self.crew.spawn(self._judge(link, message))
            case CallBack():
                self._conversations.call_back(link, message)
            case CallOff():
                self._conversations.call_off(link, message)

    async def _judge(self, link: Link, asked: Preflight) -> None:
        found = self._networking.judge(asked)
        if asked.task.container.image:
            found += await self._judge_task(asked.task)
        link.say(PreflightResult(preflight_id=asked.preflight_id, problems=found))

    async def _judge_task(self, task: TaskSpec) -> tuple[str, ...]:
        has_image = True
        try:
            await self._supply.local(task.container.image)
        except SwarmError:
            has_image = False
        return preflight.problems(
            task,
            is_there=lambda path: Path(path).exists(),
            has_image=has_image,
            fences=devices.fences(self._config.user_namespace),
            why_not_a_device=devices.why_not_a_device,
        )

    async def _image_uses(self) -> tuple[Use, ...]:
        """The images of tasks that run or are about to, and of all other containers."""
        tasks, found = self.agent.tasks, list[Use]()
        for task_id, life in tasks.lives.items():
            if life.state.is_terminal:
                continue
            image_id, wanted = self._executor.image_id(task_id), tasks.known(task_id)
            if not image_id and wanted is not None:
                with contextlib.suppress(SwarmError):
                    image_id = (await self._supply.local(wanted.spec.container.image)).id
            if image_id:
                found.append(Use(image_id=image_id, container=task_id))
        return (*found, *self._standalone.image_uses())

    def _forget_images(self) -> None:
        """A container is gone: an image that was removed before may have stayed for it alone."""
        if self._store.has_removed:
            self.crew.spawn(self._forget_unused_images())

    async def _forget_unused_images(self) -> None:
        try:
            await self._store.forget(await self._image_uses())
        except SwarmError as err:
            self._log.warning("image.not_forgotten", reason=err.message)

    def _require(self, task_id: TaskId) -> None:
        """Refuse to touch containers of tasks that nobody assigned to us, or that ended."""
        life = self.agent.tasks.lives.get(task_id)
        if life is None or self.agent.tasks.known(task_id) is None:
            raise Missing(f"task {task_id} is not assigned to this node")
        if life.state.is_terminal:
            raise Refused(f"task {task_id} is not running: it is {life.state.word}")

    def _running(self) -> Iterator[Sampled]:
        """The tasks that have processes."""
        tasks = self.agent.tasks
        for task_id, life in tasks.lives.items():
            wanted = tasks.known(task_id)
            if life.seen.pid and not life.state.is_terminal and wanted is not None:
                is_its_own = not wanted.spec.is_on_host
                yield Sampled(
                    task_id=task_id,
                    service_id=wanted.task.service_id,
                    pid=life.seen.pid if is_its_own else 0,
                )

    def _exposed(self) -> Iterator[Exposed]:
        """The same for whoever scrapes, in another thread: names rather than figures."""
        tasks = self.agent.tasks
        for task_id, life in tuple(tasks.lives.items()):
            wanted = tasks.known(task_id)
            if life.seen.pid and not life.state.is_terminal and wanted is not None:
                is_its_own = not wanted.spec.is_on_host
                yield Exposed(
                    id=task_id,
                    name=task_name(wanted.task),
                    image=wanted.spec.container.image,
                    service_id=wanted.task.service_id,
                    service_name=wanted.task.service_name,
                    started_at=life.seen.started_at,
                    pid=life.seen.pid if is_its_own else 0,
                )

    def _read_stats(self, task_id: str) -> Stats:
        return read_stats(self._layout, f"{self._config.cgroup_parent}/{task_id}", details=False)

    def _is_over(self, task_id: TaskId) -> bool:
        """Nobody has spoken of a stray yet, but it may well run."""
        if (stray := self.agent.tasks.strays.get(task_id)) is not None:
            return stray.exit is not None
        life = self.agent.tasks.lives.get(task_id)
        return life is None or life.state.is_terminal

    def _tell(self, task_id: TaskId, event: Event) -> None:
        self.agent.tell(task_id, event)

    def _tell_of_volume(self, action: str, name: str) -> None:
        self._standalone.tell_of_volume(action, name)

    def _describe_again(self) -> None:
        self.agent.describe_again()

    def _describe_soon(self) -> None:
        """Many volumes may be made at once: tell of all of them together."""
        if self._describing is None:
            loop = asyncio.get_running_loop()
            self._describing = loop.call_later(DESCRIBE_AFTER_S, self._describe_now)

    def _describe_now(self) -> None:
        self._describing = None
        self.agent.describe_again()


def _pid_of(tasks: Tasks, task_id: TaskId) -> int:
    life = tasks.lives.get(task_id)
    return life.seen.pid if life else 0


def _make_directories(config: Config) -> None:
    try:
        for directory in (config.containers, config.volumes):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    except OSError as err:
        raise Refused(
            f"{err.filename} cannot be made: {err.strerror}", hint="look at the data root"
        ) from err
