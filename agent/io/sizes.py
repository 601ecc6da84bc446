"""Add up what files take."""

import os
from contextlib import suppress
from pathlib import Path


def size_of(path: Path) -> int:
    """What a directory holds, in bytes; what goes meanwhile does not count, links lead nowhere.

    Nor does what lies deeper than a path can be long: programs nest directories as they like.
    """
    total, pending = 0, [str(path)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for each in entries:
                if each.is_dir(follow_symlinks=False):
                    pending.append(each.path)
                else:
                    with suppress(OSError):
                        total += each.stat(follow_symlinks=False).st_size
    return total
