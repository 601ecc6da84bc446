"""Say all that is kept of a container that somebody runs on this node.

What it was made from is written when that changes, by hand or by somebody's request; how far its
life is, whenever it gets further. Both are files of the container's own directory, beside its
layer and its log: `container.json` and `life.json`. Whoever finds the second one torn by a
crash of the host knows the first one, and has a container that has ended.
"""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.standalone.life import Life, Manner, resting
from swarm.errors import Invalid
from swarm.images.config import ImageConfig
from swarm.specs import Mount
from swarm.standalone import ContainerState, StandaloneSpec


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container: what it is, and how far.

    `image` is what its image said when it was made, and `image_id` which one that was; a name may
    mean another one by now. `mounts` are all it has, those of its image and of other containers
    too, sources filled in; `own_volumes` are the names of volumes that were made for it alone.
    """

    id: str
    spec: StandaloneSpec
    image_id: str
    image: ImageConfig
    created_at: float
    mounts: tuple[Mount, ...] = ()
    own_volumes: tuple[str, ...] = ()
    life: Life = Life()

    @property
    def name(self) -> str:
        """Without a slash before it."""
        return self.spec.name

    @property
    def labels(self) -> dict[str, str]:
        """Those of its image, and its own."""
        return self.image.labels | self.spec.container.labels

    @property
    def manner(self) -> Manner:
        """What follows when it ends by itself."""
        return Manner(restart=self.spec.restart, auto_remove=self.spec.auto_remove)


def encode(record: Record) -> bytes:
    """What it is, without how far."""
    return msgspec.json.encode(replace(record, life=Life()))


def encode_life(life: Life) -> bytes:
    """How far it is, as the next agent has to know."""
    return msgspec.json.encode(resting(life))


def decode(text: bytes, life: bytes) -> Record:
    """Both together; `life` may be torn. `Invalid` when `text` is."""
    try:
        record = msgspec.json.decode(text, type=Record)
    except msgspec.DecodeError as err:
        raise Invalid(f"not a container: {err}") from err
    try:
        found = msgspec.json.decode(life, type=Life)
        found.check_at_rest()
    except (msgspec.DecodeError, AssertionError):
        found = (
            Life() if not life else Life(state=ContainerState.EXITED, started_at=record.created_at)
        )
    return replace(record, life=found)
