"""Hold what the manager assigned to this node, as snapshots and diffs say.

A diff that is not the next one, or that names a spec version which was never sent, is a gap:
nothing of it is applied, its topology included, and the session has to start over with a digest
that matches nothing, so that a snapshot follows. Spec versions are sent once per session and
kept until the next snapshot. What is known of the networks outlives the session: the first
message of the next one is complete. Secrets and configs are kept as long as a task held here
may still start with them, and no longer than the session: the manager gives them anew in the
next one.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from agent.topology import Changes, Table
from swarm.assignments import contents_of, digest, keeps_contents
from swarm.dispatch import Assignment, Content, Diff, Snapshot
from swarm.ids import ServiceId, TaskId
from swarm.objects import SpecVersion, Task
from swarm.specs import Port, TaskSpec
from swarm.states import TaskState

SpecKey = tuple[ServiceId, int]


class Wanted(Struct, frozen=True, kw_only=True):
    """A task that this node should hold, with the spec it is made from.

    `labels` and `ports` are those of its service when the spec was made.
    """

    task: Task
    spec: TaskSpec
    revision: int
    observed: TaskState = TaskState.NEW
    labels: dict[str, str] = {}
    ports: tuple[Port, ...] = ()


class Change(Struct, frozen=True, kw_only=True):
    """What a message changed: new or altered tasks, those no longer ours, and the networks."""

    wanted: tuple[Wanted, ...] = ()
    withdrawn: tuple[TaskId, ...] = ()
    topology: Changes = Changes()


class Gap(Struct, frozen=True, kw_only=True):
    """The message does not follow from what we hold."""

    reason: str


class Assignments:
    """The tasks of this node by id, and how far into the session's sequence we are."""

    def __init__(self) -> None:
        self.wanted: dict[TaskId, Wanted] = {}
        self.contents: dict[str, Content] = {}
        self.topology = Table()
        self._specs: dict[SpecKey, SpecVersion] = {}
        self._sequence: int | None = None
        self._is_broken = False

    def digest(self) -> str:
        """What a `Hello` says of us; matches no manager's after a gap."""
        if self._is_broken:
            return ""
        return digest({each.task.id: each.revision for each in self.wanted.values()})

    def restart(self) -> None:
        """A new session began: its first diff may have any number."""
        self._sequence = None
        self.contents = {}

    def take(self, message: Snapshot | Diff) -> Change | Gap:
        """Apply `message` wholly, or say why not and change nothing."""
        found = self._replace(message) if isinstance(message, Snapshot) else self._amend(message)
        if isinstance(found, Gap):
            self._is_broken = True
            return found
        self._sequence = message.sequence
        self._keep(message.contents)
        return replace(found, topology=self.topology.take(message.topology))

    def _keep(self, contents: Iterable[Content]) -> None:
        """Take `contents` in, and forget those that no task will start with."""
        self.contents.update({each.id: each for each in contents})
        if self.contents:
            needed = {
                content_id
                for each in self.wanted.values()
                if keeps_contents(each.task)
                for content_id in contents_of(each.task, each.spec)
            }
            self.contents = {k: v for k, v in self.contents.items() if k in needed}

    def _replace(self, snapshot: Snapshot) -> Change | Gap:
        specs = _keyed(snapshot.specs)
        wanted = _resolve(snapshot.assignments, specs)
        if isinstance(wanted, Gap):
            return wanted
        withdrawn = sorted(self.wanted.keys() - {each.task.id for each in wanted})
        changed = tuple(each for each in wanted if self.wanted.get(each.task.id) != each)
        self.wanted = {each.task.id: each for each in wanted}
        self._specs, self._is_broken = specs, False
        return Change(wanted=changed, withdrawn=tuple(withdrawn))

    def _amend(self, diff: Diff) -> Change | Gap:
        if self._is_broken:
            return Gap(reason="a gap came before it")
        if self._sequence is not None and diff.sequence != self._sequence + 1:
            return Gap(reason=f"diff {diff.sequence} came after {self._sequence}")
        specs = self._specs | _keyed(diff.specs) if diff.specs else self._specs
        wanted = _resolve(diff.changed, specs)
        if isinstance(wanted, Gap):
            return wanted
        self._specs = specs
        self.wanted.update({each.task.id: each for each in wanted})
        withdrawn = tuple(each for each in dict.fromkeys(diff.removed) if each in self.wanted)
        for task_id in withdrawn:
            del self.wanted[task_id]
        return Change(wanted=wanted, withdrawn=withdrawn)


def _keyed(versions: Iterable[SpecVersion]) -> dict[SpecKey, SpecVersion]:
    return {(each.service_id, each.version): each for each in versions}


def _resolve(
    assignments: Iterable[Assignment], specs: Mapping[SpecKey, SpecVersion]
) -> tuple[Wanted, ...] | Gap:
    found: list[Wanted] = []
    for each in assignments:
        key = (each.task.service_id, each.task.spec_version)
        version = specs.get(key)
        if version is None:
            return Gap(reason=f"task {each.task.id}: spec {key[0]}/{key[1]} was never sent")
        found.append(
            Wanted(
                task=each.task,
                spec=version.task,
                revision=each.revision,
                observed=each.observed,
                labels=version.labels,
                ports=version.ports,
            )
        )
    return tuple(found)
