"""Carry out one build: stages in their order, step by step, and nothing left of it but the image.

What a step came to waits beside the image store until the build ends, well or not; then all
of it is written to disk, moved in and remembered, so that no crash leaves half a layer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from secrets import token_hex

from msgspec.structs import replace

from agent.build import wording
from agent.build.arguments import Arguments, platform_arguments, unused
from agent.build.dockerfile import Dockerfile, Stage, needed_stages, parse, target_stage
from agent.build.expansion import expand
from agent.build.image import History, scratch, written
from agent.build.instructions import Instruction, Label
from agent.build.io import contexts
from agent.build.io.layering import Layering
from agent.build.io.origins import Begun, Origins
from agent.build.io.shop import Say, Shop
from agent.build.io.stepping import Stepping
from agent.build.parsing import parse_trigger
from agent.build.request import Request, parse_platform
from agent.build.steps import State
from agent.images.making import names_of
from swarm.errors import Invalid, SwarmError
from swarm.images.platform import suits
from swarm.images.reference import parse_reference


class Build:
    """One build. `say` is told how it goes on."""

    def __init__(self, request: Request, shop: Shop, say: Say) -> None:
        self._request = request
        self._shop = shop
        self._say = say
        self._id = token_hex(16)
        self._platform = parse_platform(request.platform, shop.platform)
        self._names = names_of(request.tags)
        self._number = 0
        self._total = 0
        self._declared: set[str] = set()

    async def run(self, chunks: AsyncIterator[bytes]) -> str:
        """The id of the image that it made of the context that arrives in `chunks`."""
        async with AsyncExitStack() as stack:
            hold = self._shop.building.hold()
            stack.callback(hold.release)
            stack.callback(self._shop.workers.prepare)
            own, worker = await stack.enter_async_context(self._shop.workers.taken())
            text = await contexts.receive(self._request, worker, own, chunks)
            self._shop.workers.prepare()  # not while all of that wants the processors
            dockerfile = parse(text, name=self._request.dockerfile_name)
            layering = Layering(
                self._shop, worker, own, hold, uses_cache=not self._request.no_cache
            )
            if self._request.cache_from:
                layering.read_sources(self._request.cache_from)
            origins = Origins(self._request, self._shop, hold, self._say, self._platform)
            stepping = Stepping(
                self._request,
                self._shop,
                layering=layering,
                origins=origins,
                say=self._say,
                own=own,
                build_id=self._id,
            )
            try:
                state, begun = await self._build(dockerfile, stepping, origins, layering)
                if self._request.squash:
                    state = await self._squash(state, begun, layering)
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(_settled(layering)))
                raise
            await layering.settle()
            return await self._finish(state, begun, origins, layering)

    # --- stages ------------------------------------------------------------------------------

    async def _build(
        self, dockerfile: Dockerfile, stepping: Stepping, origins: Origins, layering: Layering
    ) -> tuple[State, Begun]:
        stages = needed_stages(dockerfile, self._request.target)
        last = target_stage(dockerfile, self._request.target)
        labels = tuple(
            Label(line=0, text=f"LABEL {name}={value}", pairs=((name, value),), expands=False)
            for name, value in sorted(self._request.labels.items())
        )
        self._total = len(dockerfile.arguments) + len(labels) + len(stages)
        self._total += sum(len(stage.steps) for stage in stages)
        for warning in dockerfile.warnings:
            await self._say.text(f"{warning}\n")
        arguments = await self._global_arguments(dockerfile)
        origins.stages = dockerfile.stages
        state, begun = None, None
        for stage in stages:
            steps = (*stage.steps, *labels) if stage is last else stage.steps
            begun = await self._begin(stage, dockerfile, arguments, origins)
            state = await self._stage(begun, steps, arguments, dockerfile.escape, stepping)
            origins.finish(stage, state, begun)
        assert state is not None
        assert begun is not None
        given = {**dict.fromkeys(self._request.unset_args, ""), **self._request.args}
        if names := unused(given, frozenset(self._declared)):
            await self._say.text(wording.unused(names))
        return state, begun

    async def _global_arguments(self, dockerfile: Dockerfile) -> Arguments:
        ours = platform_arguments(self._platform, target=self._request.target)
        found = Arguments(given=self._request.args, ours=ours)
        values = {**ours, **found.values()}
        defaults: dict[str, str | None] = {}
        for step in dockerfile.arguments:
            await self._announce(step.text)
            for name, default in step.pairs:
                filled = None
                if default is not None:
                    filled = expand(default, values, escape=dockerfile.escape)
                defaults[name] = filled
                if (value := self._request.args.get(name, filled)) is not None:
                    values[name] = value
                self._declared.add(name)
        return found.declare(defaults)

    async def _begin(
        self, stage: Stage, dockerfile: Dockerfile, arguments: Arguments, origins: Origins
    ) -> Begun:
        """What a stage begins with, its base image pulled if need be."""
        begin = stage.begin
        await self._announce(begin.text)
        values = dict(arguments.ours) | arguments.values()
        name = expand(begin.base, values, escape=dockerfile.escape)
        if not name:
            raise Invalid(f"base name ({begin.base}) should not be blank")
        wanted = expand(begin.platform, values, escape=dockerfile.escape)
        platform = parse_platform(wanted, self._platform)
        origins.before = dockerfile.stages[: stage.number]
        if name == "scratch" and origins.stage(name) is None:
            return Begun(document=scratch(platform), image_id="")
        begun = await origins.image_or_stage(name, numbers=False)
        made_for = replace(platform, architecture=begun.document.architecture)
        if begun.document.architecture and not suits(
            replace(made_for, variant=begun.document.variant), platform
        ):
            raise Invalid(
                f"image {name} is for {begun.document.os}/{begun.document.architecture},"
                f" not for {platform}",
                hint="name an image of that platform; nothing is emulated here",
            )
        return begun

    async def _stage(
        self,
        begun: Begun,
        steps: tuple[Instruction, ...],
        arguments: Arguments,
        escape: str,
        stepping: Stepping,
    ) -> State:
        document, triggers = begun.document, begun.document.run.on_build or ()
        if triggers:
            document = replace(document, config=replace(document.run, on_build=None))
        state = State(document=document, image_id=begun.image_id, arguments=arguments.stage())
        if triggers:
            await self._say.text(wording.triggers(len(triggers)))
            for text in triggers:
                state = await stepping.take(parse_trigger(text), state, escape)
        await self._say.text(wording.result(state.image_id))
        for step in steps:
            await self._announce(step.text)
            state = await stepping.take(step, state, escape)
            await self._say.text(wording.result(state.image_id))
        self._declared |= state.arguments.declared.keys()
        return state

    async def _announce(self, text: str) -> None:
        self._number += 1
        await self._say.text(wording.step(self._number, self._total, text))

    # --- the end -----------------------------------------------------------------------------

    async def _squash(self, state: State, begun: Begun, layering: Layering) -> State:
        """One layer instead of all that came on top of the base."""
        base, document = begun.document, state.document
        added = document.diff_ids[len(base.diff_ids) :]
        deeds = tuple(replace(deed, empty_layer=True) for deed in document.deeds[len(base.deeds) :])
        now = self._shop.clock()
        merged = replace(document, history=(*base.deeds, *deeds))
        diff_id = ""
        if added:
            diff_id = await layering.merge(added, base.diff_ids)
        note = f"merge {state.image_id} to {begun.image_id or 'scratch'}"
        squashed = merged.with_layers(
            (*base.diff_ids, diff_id) if diff_id else base.diff_ids,
            History(created=written(now), comment=note, empty_layer=not diff_id),
        )
        return replace(state, document=squashed, image_id=squashed.id)

    async def _finish(
        self, state: State, begun: Begun, origins: Origins, layering: Layering
    ) -> str:
        if not state.image_id:
            raise Invalid("No image was generated. Is your Dockerfile empty?")
        now = self._shop.clock()
        base = begun.base
        if base is not None and state.image_id == base.id:
            await self._shop.building.name(base.id, self._request.tags, now)
            image_id = base.id
        else:
            image_id = await self._shop.building.list(
                state.document.encode(),
                base,
                state.document.diff_ids,
                references=self._request.tags,
                created_at=layering.created_at or now,
                now=now,
                hold=layering.hold,
            )
        await self._say.text(wording.built(image_id))
        for name in self._names:
            await self._say.text(wording.tagged(parse_reference(name).familiar))
        return image_id


async def _settled(layering: Layering) -> None:
    """Keep what was done, whatever became of the rest."""
    with suppress(SwarmError, OSError):
        await layering.settle()
