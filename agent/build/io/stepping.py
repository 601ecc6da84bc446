"""Do one step, unless it was done before on the same image."""

from pathlib import Path

from agent.build import wording
from agent.build.instructions import Instruction
from agent.build.io.filing import Filing
from agent.build.io.layering import Layering
from agent.build.io.origins import Origins
from agent.build.io.programming import Programming
from agent.build.io.shop import Say, Shop
from agent.build.orders import MakeDirectory
from agent.build.request import Request
from agent.build.steps import Described, Directory, Files, Planned, Program, State, plan


class Stepping:
    """Does the steps of one build, in the directory `own`."""

    def __init__(
        self,
        request: Request,
        shop: Shop,
        *,
        layering: Layering,
        origins: Origins,
        say: Say,
        own: Path,
        build_id: str,
    ) -> None:
        self._layering = layering
        self._say = say
        self._filing = Filing(shop, layering, origins, say, own)
        self._programming = Programming(
            request, shop, layering, self._filing, say, build_id=build_id
        )

    async def take(self, step: Instruction, state: State, escape: str) -> State:
        """What there is after `step`."""
        planned = plan(step, state, escape)
        if planned.note:
            await self._say.text(f"{planned.note}\n")
        created_by = await self._created_by(planned)
        found = self._layering.cached(state, planned, created_by)
        if found is not None:
            await self._say.text(wording.CACHED)
            return found
        match planned.deed:
            case Described():
                mark = None
            case Directory(path=path):
                layered = self._layering.layered(state)
                await self._layering.worker.ask(MakeDirectory(layered=layered, path=path))
                mark = await self._layering.collect(layered)
            case Program() as program:
                mark = await self._programming.run(program, state)
            case Files() as files:
                mark = await self._filing.put(files, state)
        return self._layering.done(state, planned, created_by, mark)

    async def _created_by(self, planned: Planned) -> str:
        """What the history says, once it is known what files there are."""
        match planned.deed:
            case Files() as files:
                return await self._filing.told(files, planned.created_by)
            case Program() as program:
                return planned.created_by + await self._programming.told(program)
            case Described() | Directory():
                return planned.created_by
