"""Picture a pull or a push: a line for each layer, in the order in which they were heard of."""

from msgspec import Struct

from swarm.quantities import format_size
from swarmctl.progress import bar

_LABELS = {
    "waiting": "Waiting",
    "downloading": "Downloading",
    "verifying": "Verifying Checksum",
    "extracting": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
    "preparing": "Preparing",
    "pushing": "Pushing",
    "pushed": "Pushed",
    "mounted": "Mounted from another repository",
}
_BAR_WIDTH = 30


class Layer(Struct, frozen=True, kw_only=True):
    """What is known of one layer."""

    digest: str
    status: str = "waiting"
    current_bytes: int = 0
    total_bytes: int = 0


class Pull:
    """The layers seen so far."""

    def __init__(self) -> None:
        self._layers: dict[str, Layer] = {}

    def seen(self, layer: Layer) -> str | None:
        """Take note of `layer`; a line for those without a terminal when its status changed."""
        known = self._layers.get(layer.digest)
        self._layers[layer.digest] = layer
        if known is not None and known.status == layer.status:
            return None
        return f"{_short(layer)}: {_label(layer)}"

    def lines(self, *, columns: int) -> list[str]:
        """What a terminal shows."""
        return [_line(layer)[: max(columns - 1, 1)] for layer in self._layers.values()]

    @property
    def is_new(self) -> bool:
        """Whether anything had to be fetched."""
        return any(layer.status != "exists" for layer in self._layers.values())


def _line(layer: Layer) -> str:
    text = f"{_short(layer)}: {_label(layer)}"
    if layer.status not in ("downloading", "extracting", "pushing") or layer.total_bytes <= 0:
        return text
    done, total = layer.current_bytes, layer.total_bytes
    amount = f"{format_size(done)}/{format_size(total)}"
    return f"{text} {bar(done, total, width=_BAR_WIDTH)} {amount}"


def _label(layer: Layer) -> str:
    return _LABELS.get(layer.status, layer.status.title())


def _short(layer: Layer) -> str:
    return layer.digest.removeprefix("sha256:")[:12]
