"""Order an image's layers for overlayfs, which wants the topmost first and none twice.

The kernel refuses a directory that occurs twice in a stack (ELOOP), and builders emit the same
layer twice, above all the empty one. Only the topmost occurrence counts: it already holds
every name, deletion and opaque mark that the lower one could add.
"""

from collections.abc import Collection, Sequence


def stack(diff_ids: Sequence[str], covering: Collection[str]) -> tuple[str, ...]:
    """The layers to mount, topmost first; `diff_ids` are lowest first.

    A layer in `covering` hides everything below it: overlayfs ignores that mark on the root
    of a layer, so the stack ends there.
    """
    chosen: dict[str, None] = {}
    for diff_id in reversed(diff_ids):
        chosen.setdefault(diff_id)
        if diff_id in covering:
            break
    return tuple(chosen)
