"""Read how an image's configuration says that it came about."""

import msgspec
from msgspec import Struct


class Step(Struct, frozen=True):
    """One line, the oldest first in its document; one with `empty_layer` added none."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class _History(Struct):
    history: tuple[Step, ...] | None = None


def read_history(document: bytes) -> tuple[Step, ...]:
    """The steps of a configuration; none where it does not say."""
    try:
        return msgspec.json.decode(document, type=_History).history or ()
    except msgspec.MsgspecError:
        return ()
