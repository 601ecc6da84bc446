"""Order the life of a task: states move forward only.

A task is one attempt. Nothing restarts it; a replacement is another task. So a smaller
number never follows a larger one, and whoever hears of a smaller one drops it as late.
"""

from enum import IntEnum


class TaskState(IntEnum):
    """Observed and desired states, numbered in the order in which they may be entered."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @property
    def is_terminal(self) -> bool:
        """Whether no process of the task is left and none will come."""
        return self > TaskState.RUNNING

    @property
    def word(self) -> str:
        """The state as users read and filter it."""
        return self.name.lower()


class NodeState(IntEnum):
    """What the leader believes of a node."""

    UNKNOWN = 0
    DOWN = 1
    READY = 2

    @property
    def word(self) -> str:
        """The state as users read and filter it."""
        return self.name.lower()


class RolloutState(IntEnum):
    """How far a version of a task spec has come."""

    UPDATING = 0
    CANARY = 1
    PAUSED = 2
    COMPLETED = 3
    ROLLBACK_STARTED = 4
    ROLLBACK_PAUSED = 5
    ROLLBACK_COMPLETED = 6

    @property
    def word(self) -> str:
        """The state as users read it."""
        return self.name.lower()

    @property
    def is_rollback(self) -> bool:
        """Whether the way leads back."""
        return self >= RolloutState.ROLLBACK_STARTED

    @property
    def is_over(self) -> bool:
        """Whether nothing more is replaced for it."""
        return self in (RolloutState.COMPLETED, RolloutState.ROLLBACK_COMPLETED)


class RunState(IntEnum):
    """How a firing of a schedule went."""

    RUNNING = 0
    COMPLETE = 1
    FAILED = 2
    SKIPPED = 3
    REPLACED = 4

    @property
    def word(self) -> str:
        """The state as users read it."""
        return self.name.lower()


class HealthState(IntEnum):
    """What a container's health check says; NONE where there is no check."""

    NONE = 0
    STARTING = 1
    HEALTHY = 2
    UNHEALTHY = 3

    @property
    def word(self) -> str:
        """The state as users read it."""
        return self.name.lower()
