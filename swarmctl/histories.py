"""Show how an image was made, from the history in its configuration, the last step first."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from swarm.api.v1 import images_pb2
from swarm.quantities import format_size
from swarmctl.rows import Detail, ago
from swarmctl.tables import Listing
from swarmctl.times import rfc3339

_MISSING = "<missing>"
_SHOWN = 45

HISTORY = Listing(
    columns=("ID", "CreatedSince", "CreatedBy", "Size", "Comment"),
    headings={
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
)


class _Step(Struct, frozen=True):
    """One entry; an empty one made no layer."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class _Config(Struct, frozen=True):
    history: tuple[_Step, ...] = ()


def history_rows(
    answer: images_pb2.InspectImageResponse, detail: Detail, *, is_human: bool, now: float
) -> Iterator[dict[str, str]]:
    """A row each; layers that nothing is told of come as steps of their own."""
    steps = msgspec.json.decode(answer.config_json or b"{}", type=_Config).history
    sizes = list(answer.layer_bytes)
    untold = len(sizes) - sum(not each.empty_layer for each in steps)
    steps = (*(_Step() for _ in range(untold)), *steps)
    layers = iter(sizes)
    paired = [(each, 0 if each.empty_layer else next(layers, 0)) for each in steps]
    identifier = detail.id(answer.image.id)
    for step, size in reversed(paired):
        at = _seconds(step.created) or answer.image.created_at
        text = " ".join(step.created_by.split())
        yield {
            "ID": identifier,
            "CreatedSince": ago(at, now) if is_human else rfc3339(at),
            "CreatedAt": rfc3339(at),
            "CreatedBy": text if detail.full or len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…",
            "Size": format_size(size) if is_human else str(size),
            "Comment": step.comment,
        }
        identifier = _MISSING


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text[:26].removesuffix("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0
