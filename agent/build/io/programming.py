"""Run the program of a RUN in a container of its own, and make a layer of what it wrote."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex

from msgspec.structs import replace

from agent.build import wording
from agent.build.containers import OURS, Place, described, record, target_of
from agent.build.io.filing import Filing, told
from agent.build.io.layering import Layering
from agent.build.io.running import Running
from agent.build.io.shop import Say, Shop
from agent.build.mounts import Mount, MountType
from agent.build.orders import Extract, Layered
from agent.build.request import Request
from agent.build.steps import SCRIPTS, Files, Program, State
from agent.images.answers import Mark
from agent.images.io.disk import failing
from runtime import spec as runtime
from runtime.outcome import Exited
from swarm.errors import Invalid, Refused


class Programming:
    """Runs the programs of one build."""

    def __init__(
        self,
        request: Request,
        shop: Shop,
        layering: Layering,
        filing: Filing,
        say: Say,
        *,
        build_id: str,
    ) -> None:
        self._request = request
        self._shop = shop
        self._layering = layering
        self._filing = filing
        self._say = say
        self._build_id = build_id

    async def told(self, program: Program) -> str:
        """What it depends on besides its own words: files that are bound into its container."""
        found = ""
        for mount in program.mounts:
            if mount.type is MountType.BIND:
                files = _bound(mount)
                origin, image_id = await self._filing.origin(mount.origin)
                for each in await self._filing.find(files, origin, image_id):
                    found += f" # {told(each)}"
        return found

    async def run(self, program: Program, state: State) -> Mark | None:
        """Run it; a program that fails is `Invalid`."""
        layered = self._layering.layered(state)
        place = Place(
            build_id=self._build_id,
            container_id=token_hex(32),
            own=str(Path(layered.upper).parent),
            layers=layered.layers or (str(self._shop.building.empty),),
        )
        with failing("make step directory", Path(place.own)):
            Path(place.own).mkdir()
        async with AsyncExitStack() as stack:
            mounts = await self._mounts(program, state, Path(place.own), stack)
            points = tuple(each.target for each in mounts)
            volumes = _volumes(state, Path(place.own))
            mark = await self._run(
                state, program, place, layered, (*volumes, *mounts), ignored=(*OURS, *points)
            )
        await self._say.text(wording.removed(place.container_id))
        return mark

    async def _run(
        self,
        state: State,
        program: Program,
        place: Place,
        layered: Layered,
        mounts: tuple[runtime.Mount, ...],
        *,
        ignored: tuple[str, ...],
    ) -> Mark | None:
        shop, request = self._shop, self._request
        known = record(request, place, shop.clock())
        lent = await shop.networks.lend(known)
        running = Running(shop.runtime, shop.networks, known, lent, data_root=shop.data_root)
        try:
            node = shop.node()
            spec = described(program, state, request, node, place, lent=lent, mounts=mounts)
            await self._say.text(wording.running(place.container_id))
            exited = await running.run(spec, self._say.text)
            if exited.exit_code:
                await self._say.failed(exited.exit_code)
                raise _failed(program, exited)
            return await self._layering.collect(
                layered, ignored=ignored, namespace=node.fences.user_namespace
            )
        finally:
            await asyncio.shield(asyncio.ensure_future(running.remove()))

    # --- mounts --------------------------------------------------------------------------------

    async def _mounts(
        self, program: Program, state: State, own: Path, stack: AsyncExitStack
    ) -> tuple[runtime.Mount, ...]:
        found: list[runtime.Mount] = []
        for number, mount in enumerate(program.mounts):
            made = await self._mount(mount, state, own / f"mount-{number}", stack)
            found += [made] if made is not None else []
        if program.script is not None:
            script = own / "script"
            script.mkdir(mode=0o755)
            path = script / program.script.name
            assert path.parent == script, "a name, not a path"
            with path.open("x", errors="surrogateescape") as file:
                file.write(program.script.text)
            path.chmod(0o755)
            found.append(
                runtime.Mount(source=str(script), target=SCRIPTS, read_only=True, mapped=True)
            )
        return tuple(found)

    async def _mount(
        self, mount: Mount, state: State, place: Path, stack: AsyncExitStack
    ) -> runtime.Mount | None:
        if mount.type is MountType.SECRET:
            if mount.is_required:
                raise Refused(
                    f"secret {mount.cache_id or mount.target} is required, and no client can give"
                    " this builder any",
                    hint="fetch it at run time, or use a build argument for what is no secret",
                )
            return None
        target = target_of(mount.target, state.run.working_dir)
        if mount.type is MountType.TMPFS:
            return runtime.Mount(
                kind=runtime.MountKind.TMPFS,
                target=target,
                size_bytes=mount.size_bytes,
                read_only=mount.is_read_only,
            )
        source = place
        if mount.type is MountType.BIND:
            await self._extract(mount, place)
        else:
            cached = replace(mount, cache_id=mount.cache_id or target)
            volume = await stack.enter_async_context(self._shop.cache.volume(cached))
            source = volume.path
            if volume.is_new and (mount.origin or mount.source):
                await self._extract(mount, place)
                with failing("fill cache directory", source):
                    place.rename(source)
        return runtime.Mount(
            source=str(source), target=target, read_only=mount.is_read_only, mapped=True
        )

    async def _extract(self, mount: Mount, place: Path) -> None:
        """A copy of its own: the container sees nothing else, and what it changes is gone."""
        origin, _ = await self._filing.origin(mount.origin)
        order = Extract(origin=origin, path=mount.source or ".", target=str(place))
        await self._layering.worker.ask(order)


def _bound(mount: Mount) -> Files:
    return Files(
        patterns=(mount.source or ".",), target="/", told="RUN --mount", origin=mount.origin
    )


def _volumes(state: State, own: Path) -> tuple[runtime.Mount, ...]:
    """What is written to the image's volumes is not the image's, as with Docker."""
    found: list[runtime.Mount] = []
    for number, path in enumerate(sorted(state.run.volumes or ())):
        source = own / f"volume-{number}"
        source.mkdir(mode=0o755)
        target = target_of(path, "/")
        found.append(runtime.Mount(source=str(source), target=target, copy_up=True, mapped=True))
    return tuple(found)


def _failed(program: Program, exited: Exited) -> Invalid:
    message = wording.failed(program.args, exited.exit_code)
    if exited.oom_killed:
        return Invalid(message, hint="it ran out of memory: give the build more")
    return Invalid(message)
