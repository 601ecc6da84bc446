"""Say which tasks of this node need which named volumes now.

A task needs its volumes from the moment it is prepared until its container has ended. Of a
container whose task nobody has told us about, its own description is asked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agent.assignments import Wanted
from agent.tasks import Tasks
from agent.templates import Host, names, task_name
from agent.volumes import used_volumes


def volume_users(
    tasks: Tasks, host: Host, *, volumes: Path, containers: Path
) -> dict[str, tuple[str, ...]]:
    """The names of the tasks that need each volume; `containers` are the runtime's."""
    found: dict[str, tuple[str, ...]] = {}
    for task, needed in _needs(tasks, host, volumes, containers):
        for name in needed:
            found[name] = (*found.get(name, ()), task)
    return found


def bound_by(
    container_ids: Iterable[str], *, volumes: Path, containers: Path
) -> dict[str, tuple[str, ...]]:
    """The containers that each volume is bound into, whoever made them."""
    found: dict[str, tuple[str, ...]] = {}
    for each in sorted(container_ids):
        for name in _bound(containers / each / "spec.json", volumes):
            found[name] = (*found.get(name, ()), each)
    return found


def merged(
    some: Mapping[str, tuple[str, ...]], others: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The users of volumes, told by two who know different ones."""
    return {name: some.get(name, ()) + others.get(name, ()) for name in some.keys() | others}


def needed_by(wanted: Wanted, host: Host) -> frozenset[str]:
    """The named volumes of one task."""
    return used_volumes(wanted.spec.container.mounts, names(wanted.task, wanted.labels, host))


def _needs(
    tasks: Tasks, host: Host, volumes: Path, containers: Path
) -> Iterator[tuple[str, Iterable[str]]]:
    for task_id, stray in tasks.strays.items():
        if stray.exit is None:
            yield task_id, _bound(containers / task_id / "spec.json", volumes)
    for task_id, life in tasks.lives.items():
        if life.state.is_terminal:
            continue
        wanted = tasks.known(task_id)
        if wanted is None:
            yield task_id, _bound(containers / task_id / "spec.json", volumes)
        elif any(mount.source for mount in wanted.spec.container.mounts):
            yield task_name(wanted.task), needed_by(wanted, host)


def _bound(description: Path, volumes: Path) -> set[str]:
    """The volumes that a container's description binds."""
    try:
        mounts = json.loads(description.read_bytes())["mounts"]
    except (OSError, ValueError, KeyError):
        return set()
    sources = (Path(each.get("source", "")) for each in mounts)
    return {source.relative_to(volumes).parts[0] for source in sources if volumes in source.parents}
