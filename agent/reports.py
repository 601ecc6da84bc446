"""Tell the manager what became of tasks: little, soon, and until it is committed.

Only the latest status of a task counts. A passing state (before RUNNING) waits a while: a
slow pull shows after `PREPARING_S`, a task that waits for its turn to start after
`STARTING_S`, and a task that starts in a few milliseconds costs one report. So does a health
check that failed and has not given up yet: its count waits `STARTING_S`. Any other goes at
once when the line is free: one batch is under way at a time, and what happens until its
acknowledgement travels together in the next. After a batch `WINDOW_S` passes before another,
or `BURST_S` while more is about to come: a burst costs a few commits instead of one per task,
and its last status, for which nothing is left to wait, is not late. An unacknowledged batch
is merged back when the session breaks and sent again in the next one.
"""

from itertools import islice

from swarm.dispatch import StatusBatch
from swarm.ids import TaskId
from swarm.objects import Observation
from swarm.states import HealthState, TaskState

PREPARING_S = 0.1
STARTING_S = 1.0
WINDOW_S = 0.005
BURST_S = 0.02
LARGEST_BATCH = 1000


class Reports:
    """Statuses that the manager has not acknowledged. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._pending: dict[TaskId, Observation] = {}
        self._due_at: dict[TaskId, float] = {}
        self._flying: dict[TaskId, Observation] = {}
        self._sequence = 0
        self._is_open = False
        self._sent_at = float("-inf")
        self._is_burst = False

    def record(self, seen: Observation, *, now: float) -> None:
        """Have `seen` told; an older state than the one that waits is dropped."""
        waiting = self._pending.get(seen.task_id)
        if waiting is not None and waiting.state > seen.state:
            return
        due_at = now + _patience_s(seen)
        if waiting is not None and waiting.state is seen.state:
            # A check that fails ten times a second must not put the news off for ever.
            due_at = min(due_at, self._due_at[seen.task_id])
        self._pending[seen.task_id] = seen
        self._due_at[seen.task_id] = due_at

    def forget(self, task_id: TaskId) -> None:
        """Have nothing told of a task that the manager no longer knows."""
        self._pending.pop(task_id, None)
        self._due_at.pop(task_id, None)
        self._flying.pop(task_id, None)

    def expect(self, more: bool) -> None:
        """Whether work is under way that will soon have something to tell."""
        self._is_burst = more

    def opened(self) -> None:
        """A session stands: batches may be sent."""
        self._is_open = True

    def closed(self, *, now: float) -> None:
        """The session broke: what was not acknowledged waits for the next one."""
        self._is_open = False
        for task_id, seen in self._flying.items():
            if task_id not in self._pending:
                self._pending[task_id] = seen
                self._due_at[task_id] = now
        self._flying = {}

    def acknowledged(self, sequence: int) -> None:
        """The manager committed every batch up to `sequence`."""
        if self._flying and sequence >= self._sequence:
            self._flying = {}

    def unacknowledged(self) -> tuple[Observation, ...]:
        """The latest status of each task that the manager may not know."""
        return tuple((self._flying | self._pending).values())

    def next_deadline(self) -> float | None:
        """When to ask for a batch, if nothing happens before; None while none can go."""
        if not self._is_open or self._flying or not self._pending:
            return None
        quiet_s = BURST_S if self._is_burst else WINDOW_S
        return max(min(self._due_at.values()), self._sent_at + quiet_s)

    def batch(self, *, now: float) -> StatusBatch | None:
        """What to send now, if anything is due."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        due = (task_id for task_id, due_at in self._due_at.items() if due_at <= now)
        chosen = {task_id: self._pending[task_id] for task_id in islice(due, LARGEST_BATCH)}
        for task_id in chosen:
            del self._pending[task_id], self._due_at[task_id]
        self._flying = chosen
        self._sequence += 1
        self._sent_at = now
        return StatusBatch(sequence=self._sequence, statuses=tuple(chosen.values()))

    def check(self) -> None:
        """Assert what holds between any two calls."""
        assert self._pending.keys() == self._due_at.keys()
        assert not self._flying or self._is_open


def _patience_s(seen: Observation) -> float:
    """How long a status may wait for one that makes it superfluous."""
    if seen.state < TaskState.STARTING:
        return PREPARING_S
    is_counting = seen.failing_streak > 0 and seen.health is not HealthState.UNHEALTHY
    if seen.state < TaskState.RUNNING or (seen.state is TaskState.RUNNING and is_counting):
        return STARTING_S
    return 0.0
