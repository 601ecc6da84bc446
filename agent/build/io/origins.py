"""Find what FROM and --from name: a stage that is done, an image that is here, or one to pull."""

from msgspec import Struct

from agent.build.dockerfile import Stage, find_stage
from agent.build.image import ImageDocument, decode
from agent.build.io.shop import Say, Shop
from agent.build.request import Request
from agent.build.steps import State
from agent.images.io.building import Base
from agent.images.io.content import Hold
from swarm.errors import Invalid, Missing
from swarm.images.credentials import Credentials, parse_registry_auth
from swarm.images.platform import Platform
from swarm.images.reference import DEFAULT_REGISTRY, parse_reference

_HUB = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


class Begun(Struct, frozen=True, kw_only=True):
    """What a stage begins with. `base` is the image that its lowest layers come with."""

    document: ImageDocument
    image_id: str
    base: Base | None = None


class Origins:
    """What one build may copy from. `stages` are all, `before` those that come before this one."""

    def __init__(
        self, request: Request, shop: Shop, hold: Hold, say: Say, platform: Platform
    ) -> None:
        self._request = request
        self._shop = shop
        self._hold = hold
        self._say = say
        self._platform = platform
        self._done: dict[int, Begun] = {}
        self._images: dict[str, Begun] = {}
        self.stages: tuple[Stage, ...] = ()
        self.before: tuple[Stage, ...] = ()

    def finish(self, stage: Stage, state: State, begun: Begun) -> None:
        """A stage is done: others may begin with it."""
        self._done[stage.number] = Begun(
            document=state.document, image_id=state.image_id, base=begun.base
        )

    def stage(self, name: str, *, numbers: bool = True) -> Begun | None:
        """The stage that `name` means, of those that are done; raises `Invalid` for others."""
        if not numbers and name.isdigit():
            return None
        found = find_stage(self.before, name)
        if found is not None:
            return self._done[found.number]
        if numbers and name.isascii() and name.isdigit() and len(name) < 6:
            if int(name) == len(self.before):
                raise Invalid("refers to current build stage")
            raise Invalid("index out of bounds")
        return None

    async def image_or_stage(self, name: str, *, numbers: bool = True) -> Begun:
        """What `name` means; an image that is not here is pulled."""
        if (found := self.stage(name, numbers=numbers)) is not None:
            return found
        if name not in self._images:
            self._images[name] = await self._image(name)
        return self._images[name]

    async def _image(self, name: str) -> Begun:
        building = self._shop.building
        try:
            if self._request.pull and not _is_id(name):
                await self._pull(name)
            base = await building.base(name, self._hold)
        except Missing:
            await self._pull(name)
            base = await building.base(name, self._hold)
        return Begun(document=decode(base.document), image_id=base.id, base=base)

    async def _pull(self, name: str) -> None:
        reference = parse_reference(name).with_default_tag()
        await self._shop.pull(
            str(reference), _credentials(self._request, reference.registry), self._say.layer
        )


def _is_id(name: str) -> bool:
    return name.startswith("sha256:")


def _credentials(request: Request, registry: str) -> Credentials | None:
    """What the caller gave for a registry; the hub has several names."""
    names = _HUB if registry == DEFAULT_REGISTRY else (registry, f"https://{registry}")
    for given, auth in request.registry_auths.items():
        if given in names or given.removeprefix("https://").partition("/")[0] == registry:
            return parse_registry_auth(auth)
    return None
