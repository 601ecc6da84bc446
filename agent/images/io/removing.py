"""Remove directories that somebody else filled, where they are.

However deep they go: a directory is open for each level, and no path is as long as all of them.
Whatever takes the place of a directory meanwhile is neither followed nor waited for.
"""

# Descriptors, not paths.
# ruff: noqa: PTH208

import os
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_below(parent: int, name: str) -> None:
    """Remove the directory `name` of `parent` with all it holds."""
    levels = [(parent, [name])]
    path: list[str] = []
    try:
        while levels:
            directory, names = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    os.close(directory)
                    os.rmdir(path.pop(), dir_fd=levels[-1][0])
                continue
            each = names.pop()
            try:
                os.unlink(each, dir_fd=directory)
            except IsADirectoryError:
                below = os.open(each, _DIRECTORY, dir_fd=directory)
                levels.append((below, os.listdir(below)))
                path.append(each)
            except FileNotFoundError:
                continue
    finally:
        for directory, _ in levels[1:]:
            os.close(directory)
