"""Judge which secrets and configs a container is given, and as which files."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from posixpath import join, normpath

from swarm.checking.basics import Problem
from swarm.specs import ContainerSpec, FileReference

SECRETS = "/run/secrets"
CONFIGS = "/"
_MOST_ID = 2**32 - 2


def references(container: ContainerSpec) -> Iterator[Problem]:
    """Every secret and config, and that no two files, nor a file and a mount, have one place."""
    places = {normpath(m.target): f"mounts[{at}]" for at, m in enumerate(container.mounts)}
    files: dict[str, str] = {}
    for kind, found, base in (
        ("secrets", container.secrets, SECRETS),
        ("configs", container.configs, CONFIGS),
    ):
        for index, each in enumerate(found):
            path = f"task.container.{kind}[{index}]"
            yield from _reference(path, each)
            place = normpath(join(base, each.target or each.name))
            if place in places:
                yield f"{path}.target", f"{place} is already the target of {places[place]}"
            elif place in (SECRETS, "/"):
                yield f"{path}.target", f"{place} is a directory"
            files.setdefault(place, f"{kind}[{index}]")
            places.setdefault(place, f"{kind}[{index}]")
    for place, what in files.items():
        for parent in PurePosixPath(place).parents:
            if str(parent) in files:
                yield (
                    f"task.container.{what}.target",
                    f"{place} cannot be in {files[str(parent)]}, which is a file",
                )


def _reference(path: str, each: FileReference) -> Iterator[Problem]:
    if not each.id and not each.name:
        yield path, "must say what it refers to, by id or by name"
    target = each.target or each.name
    if ".." in target.split("/"):
        yield f"{path}.target", f"{each.target!r} must not contain `..`"
    elif target.endswith("/"):
        yield f"{path}.target", f"{each.target!r} must name a file"
    for name, number in (("uid", each.uid), ("gid", each.gid)):
        if not number.isascii() or not number.isdigit() or int(number) > _MOST_ID:
            yield f"{path}.{name}", f"{number!r} is not a number of a user or a group"
    if not 0 <= each.mode <= 0o7777:
        yield f"{path}.mode", f"{each.mode:o} is not a file mode"
