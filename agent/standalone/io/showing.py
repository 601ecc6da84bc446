"""Put what is known of containers into views.

What is in force is shown beside what was asked for: an image's words where the spec has none.
Containers of tasks are shown in the same terms, as far as their services know them.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from posixpath import normpath
from typing import Protocol

from agent.assignments import Wanted
from agent.containers import SHORT_ID, Node
from agent.images.image import RootFs
from agent.io.sizes import size_of
from agent.standalone import making
from agent.standalone import mounts as mounting
from agent.standalone.found import Found
from agent.standalone.io.endpoints import Endpoints
from agent.standalone.io.lives import Lives
from agent.standalone.io.tasks import TaskContainers
from agent.standalone.record import Record
from agent.volumes import Place, place, volume_path
from runtime.layout import ContainerDir
from runtime.outcome import HealthRecord
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarm.codec import to_message
from swarm.errors import SwarmError
from swarm.images.config import ImageConfig
from swarm.specs import HOST, ContainerSpec, Healthcheck, MountKind
from swarm.specs import Mount as MountSpec
from swarm.standalone import ContainerState, StandaloneSpec
from swarm.states import HealthState
from swarm.volumes import LOCAL

_FILES = ("hostname_path", "hosts_path", "resolv_conf_path")


class Images(Protocol):
    """Where images come from."""

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        ...


class Healths(Protocol):
    """What runs health checks."""

    async def health(self, container_id: str) -> HealthRecord | None:
        """The last results; None without checks. Raises `Missing`."""
        ...


class Showing:
    """Makes views."""

    def __init__(
        self,
        lives: Lives,
        *,
        tasks: TaskContainers,
        images: Images,
        healths: Healths,
        endpoints: Endpoints,
        node: Callable[[], Node],
        run_root: str,
    ) -> None:
        self._lives = lives
        self._tasks = tasks
        self._images = images
        self._healths = healths
        self._endpoints = endpoints
        self._node = node
        self._run_root = run_root

    async def all(self, *, sizes: bool) -> list[pb.ContainerView]:
        """All containers, the newest first."""
        node = self._node()
        views = [await self._view(each, node, sizes=sizes) for each in self._lives.all()]
        return sorted(views, key=lambda view: (-view.created_at, view.id))

    async def one(self, text: str, *, size: bool) -> pb.InspectContainerResponse:
        """One container in full, with what its last health checks found."""
        found = self._lives.find(text)
        view = await self._view(found, self._node(), sizes=size)
        return pb.InspectContainerResponse(container=view, health_log=await self._log(found))

    async def layers(self, found: Found) -> tuple[str, ...]:
        """The directories of its file system: its own, then its image's, the topmost first."""
        image = await self._images.local(found.image_id or found.image)
        return (found.upper, *(str(each) for each in image.layer_dirs))

    async def _view(self, found: Found, node: Node, *, sizes: bool) -> pb.ContainerView:
        layers: tuple[str, ...] = (found.upper,)
        image = ImageConfig()
        try:
            rootfs = await self._images.local(found.image_id or found.image)
            layers, image = (*layers, *map(str, rootfs.layer_dirs)), rootfs.config
        except SwarmError:
            pass  # somebody took the image away by force
        if found.record is not None:
            view = self._standalone(found, found.record, node)
        else:
            view = self._task(found, image, node)
        view.layers.extend(layers)
        if sizes:
            written, *below = await asyncio.gather(
                *(asyncio.to_thread(size_of, Path(each)) for each in layers)
            )
            view.written_bytes, view.root_bytes = written, written + sum(below)
        return view

    def _standalone(self, found: Found, record: Record, node: Node) -> pb.ContainerView:
        life, connected = record.life, self._endpoints.shown(record)
        view = _alike(found, record.spec, record.image, record.mounts, node)
        view.created_at, view.state = record.created_at, _state(life.state)
        view.exit_code, view.error, view.oom_killed = life.exit_code, life.error, life.oom_killed
        view.started_at, view.finished_at = life.started_at, life.finished_at
        view.has_healthcheck &= life.has_run  # until then nobody has checked anything
        view.restart_count = life.restart_count
        view.restarting = life.state is ContainerState.RESTARTING
        view.stopped_by_user = life.by_hand
        _show_health(view, life.health, life.failing_streak)
        view.endpoints.extend(connected.endpoints)
        view.ports.extend(to_message(each) for each in connected.ports)
        view.sandbox_key = connected.sandbox_key
        view.hostname = _hostname(record, node)
        self._show_files(view, record)
        return view

    def _show_files(self, view: pb.ContainerView, record: Record) -> None:
        """Where the runtime keeps the files that name hosts, while there is a container."""
        taken = {normpath(each.target) for each in record.mounts}
        directory = ContainerDir(self._run_root, record.id).path
        paths = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
        own = [name for name, path in zip(_FILES, paths, strict=True) if path not in taken]
        for number, name in enumerate(own):
            setattr(view, name, f"{directory}/files/{number}")

    def _task(self, found: Found, image: ImageConfig, node: Node) -> pb.ContainerView:
        known = self._tasks.of(found.task_id)
        assert known is not None  # it was found a moment ago
        wanted, life = known
        asked = wanted.spec.container
        where = Place(volumes=node.volumes, own=found.own)
        spec = _as_standalone(wanted, found)
        view = _alike(found, spec, image, asked.mounts, node)
        taken = {normpath(each.target) for each in asked.mounts}
        own = [each for each in image.volumes if normpath(each) not in taken]
        for each in place((), own, where):
            view.mounts.add(
                kind=specs_pb2.MOUNT_KIND_VOLUME,
                source=each.mount.source,
                target=each.mount.target,
                driver=LOCAL,
            )
        view.task_id, view.service_id = found.task_id, found.service_id
        view.created_at = life.seen.started_at or life.seen.at
        view.started_at = life.seen.started_at
        view.state = _state(_task_state(found))
        if life.state.is_terminal:
            view.exit_code, view.finished_at = life.seen.exit_code, life.seen.at
            view.error, view.oom_killed = life.seen.error, life.seen.oom_killed
        _show_health(view, life.seen.health, life.seen.failing_streak)
        view.ports.extend(to_message(each) for each in life.seen.ports)
        on_host = wanted.spec.is_on_host
        view.hostname = asked.hostname or (
            node.host.hostname if on_host else found.task_id[:SHORT_ID]
        )
        view.endpoints.extend(self._endpoints.of_task(found.task_id))
        return view

    async def _log(self, found: Found) -> list[control_pb2.HealthResult]:
        try:
            record = await self._healths.health(found.runtime_id)
        except SwarmError:
            return []
        return [
            control_pb2.HealthResult(
                started_at=each.started_at,
                finished_at=each.finished_at,
                exit_code=each.exit_code,
                output=each.output,
            )
            for each in (record.results if record is not None else ())
        ]


def _alike(
    found: Found,
    spec: StandaloneSpec,
    image: ImageConfig,
    mounts: Iterable[MountSpec],
    node: Node,
) -> pb.ContainerView:
    asked = spec.container
    entrypoint, command = making.entrypoint(asked, image), making.command(asked, image)
    checked = _healthcheck(asked, image)
    options = mounting.modes(spec)
    own = found.record.own_volumes if found.record is not None else ()
    return pb.ContainerView(
        id=found.id,
        name=found.name,
        spec=to_message(spec),
        image_id=found.image_id,
        pid=found.pid,
        args=(*entrypoint, *command),
        log_path=found.log_path,
        env=making.variables(asked, image),
        user=asked.user or image.user,
        workdir=asked.workdir or image.workdir,
        labels=found.labels,
        has_healthcheck=bool(checked.test) and checked.test[0] != "NONE",
        stop_signal=asked.stop_signal or image.stop_signal,
        entrypoint=entrypoint,
        command=command,
        healthcheck=to_message(checked),
        exposed=making.exposed(spec, image),
        volumes=making.volumes(spec, image),
        mounts=[_mount(each, node, options.get(normpath(each.target)), own) for each in mounts],
        apparmor=asked.apparmor,
    )


def _mount(
    mount: MountSpec, node: Node, mode: str | None, own: Collection[str]
) -> pb.ContainerMount:
    is_volume, is_bind = mount.kind is MountKind.VOLUME, mount.kind is MountKind.BIND
    source = volume_path(node.volumes, mount.source) if is_volume else mount.source
    shown = mode or ""
    if is_volume and not mode and mount.source not in own:
        shown = "z"  # as Docker has it where SELinux is not there
    return pb.ContainerMount(
        kind=specs_pb2.MountKind.ValueType(int(mount.kind)),
        volume=mount.source if is_volume else "",
        source=source,
        target=mount.target,
        driver=LOCAL if is_volume else "",
        mode=shown,
        read_only=mount.read_only,
        propagation=(mount.propagation or "rprivate") if is_bind else "",
    )


def _healthcheck(asked: ContainerSpec, image: ImageConfig) -> Healthcheck:
    """What was asked for, and what its image says where that is silent."""
    own, other = asked.health, image.healthcheck or Healthcheck()
    return Healthcheck(
        **{name: getattr(own, name) or getattr(other, name) for name in own.__struct_fields__}
    )


def _show_health(view: pb.ContainerView, health: HealthState, streak: int) -> None:
    view.health = objects_pb2.HealthState.ValueType(int(health))
    view.failing_streak = streak


def _state(state: ContainerState) -> pb.ContainerState.ValueType:
    return pb.ContainerState.ValueType(int(state))


def _hostname(record: Record, node: Node) -> str:
    asked = record.spec.container.hostname
    on_host = HOST in (record.spec.network_mode, record.spec.uts_mode)
    return asked or (node.host.hostname if on_host else record.id[:SHORT_ID])


def _task_state(found: Found) -> ContainerState:
    if not found.is_running:
        return ContainerState.EXITED
    return ContainerState.PAUSED if found.is_paused else ContainerState.RUNNING


def _as_standalone(wanted: Wanted, found: Found) -> StandaloneSpec:
    return StandaloneSpec(
        name=found.name,
        container=wanted.spec.container,
        limits=wanted.spec.limits,
        log_driver=wanted.spec.log_driver,
        network_mode=next((each.target for each in wanted.spec.networks), "bridge"),
    )
