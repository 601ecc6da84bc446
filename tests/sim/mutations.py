"""Break the cluster on purpose, to see that the simulation notices.

Each function plants one bug, of the kind that one could write; its name says what it is.
`tests/sim/test_mutations.py` sees that each is found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from agent.reports import Reports
from agent.tasks import Tasks
from manager.dispatch import statuses
from manager.freshness import Freshness
from manager.liveness import Liveness
from manager.orchestrator import draft, reaping, replicas, replicated
from manager.orchestrator.attempts import Attempt, Phase
from manager.scheduler.room import Room
from manager.store import Commit
from manager.view import ClusterView
from tests.sim import manager as leading

PLENTY = 1 << 40

Mutation = Callable[[pytest.MonkeyPatch], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Register a deliberate bug under the words of its name."""
    MUTATIONS[function.__name__.replace("_", " ")] = function
    return function


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Have the bug of this name, or none."""
    with pytest.MonkeyPatch.context() as patch:
        if name:
            MUTATIONS[name](patch)
        yield


# -- leadership and the store ------------------------------------------------------------


@mutation
def commits_are_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """A deposed leader's writes are accepted."""

    def unfenced(commit: Commit, fence: object) -> Commit:
        return commit

    patch.setattr(leading, "fenced", unfenced)


@mutation
def a_new_leader_gives_no_grace(patch: pytest.MonkeyPatch) -> None:
    """Whoever has no session when the leader changes is taken for dead."""

    def elected(self: Liveness, view: ClusterView, *, now: float) -> tuple[str, ...]:
        self._until = {}
        view.doubted.clear()
        return ()

    patch.setattr(Liveness, "elected", elected)


@mutation
def late_echoes_count(patch: pytest.MonkeyPatch) -> None:
    """The view believes whatever the watch says last, as if it could not be old."""
    real = Freshness.is_new

    def is_new(self: Freshness, key: str, revision: int, *, ahead: bool) -> bool:
        real(self, key, revision, ahead=ahead)
        return True

    patch.setattr(Freshness, "is_new", is_new)


@mutation
def tasks_have_random_names(patch: pytest.MonkeyPatch) -> None:
    """A commit that was given up and done late creates tasks beside those of the next plan."""
    real = draft.Draft.name_of

    def name(self: draft.Draft, opening: draft.Opening, *args: Any) -> str:
        return f"{real(self, opening, *args)[:15]}{hash(self.now) % 10**9:09}"

    patch.setattr(draft.Draft, "name_of", name)


# -- statuses ----------------------------------------------------------------------------


@mutation
def statuses_are_lost_on_reconnect(patch: pytest.MonkeyPatch) -> None:
    """What was not acknowledged is forgotten when the session breaks."""

    def forgetful(reports: Reports, *, now: float) -> None:
        reports.__init__()  # type: ignore[misc]

    patch.setattr(Reports, "closed", forgetful)


@mutation
def statuses_rely_on_nothing(patch: pytest.MonkeyPatch) -> None:
    """A status that was given up overwrites a later one."""

    def nothing(*args: object) -> list[object]:
        return []

    patch.setattr(statuses, "unchanged", nothing)


@mutation
def agents_forget_to_stop_strays(patch: pytest.MonkeyPatch) -> None:
    """What was replaced while an agent was away goes on running there."""

    def nothing(self: Tasks, **kwargs: object) -> tuple[()]:
        return ()

    patch.setattr(Tasks, "_stop_strays", nothing)


# -- replicas ----------------------------------------------------------------------------


@mutation
def replacements_do_not_wait_for_the_end(patch: pytest.MonkeyPatch) -> None:
    """The next attempt starts while the one before it is still stopping."""
    real = replicas.Replica.having

    def having(self: replicas.Replica, phase: Phase) -> list[Attempt]:
        return [] if phase is Phase.LEAVING else real(self, phase)

    patch.setattr(replicas.Replica, "having", having)


@mutation
def the_deciding_attempt_is_trimmed(patch: pytest.MonkeyPatch) -> None:
    """History keeps so many attempts, whether or not they are what the next one depends on."""
    real = reaping.trim

    def trim(
        attempts: Sequence[Attempt], limit: int, plan: draft.Draft, *, is_opened: bool
    ) -> None:
        del is_opened
        real(attempts, limit, plan, is_opened=True)

    for module in (reaping, replicated):
        if hasattr(module, "trim"):
            patch.setattr(module, "trim", trim)


# -- placement ---------------------------------------------------------------------------


@mutation
def reservations_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Every node has room for everything."""
    real = Room.capacity
    patch.setattr(Room, "capacity", lambda *a, **k: real(*a, **k) + PLENTY)
