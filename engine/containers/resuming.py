"""Find the place where a stream broke off, when the agent that it came from is replaced.

Entering or leaving a swarm replaces the agent, and so does its end by whatever; containers go on,
and so should those who read their logs or wait for them. Lines are told apart by their times and,
where several have the same, by how many of these were read: a log is read in one order.
"""

from collections.abc import Iterable

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.standalone import ContainerState

_OVER = (ContainerState.EXITED, ContainerState.DEAD)


class LogPlace:
    """How far a log has been read. `began_at` is when that began."""

    def __init__(self, *, began_at: float) -> None:
        self._began_at = began_at
        self._at = 0.0
        self._count = 0
        self._again = 0

    def unread(self, lines: Iterable[control_pb2.LogLine]) -> list[control_pb2.LogLine]:
        """Those that were not read before, which are read now."""
        found = list[control_pb2.LogLine]()
        for line in lines:
            if line.at != self._at:
                self._at, self._count, self._again = line.at, 0, 0
            if self._again:
                self._again -= 1
                continue
            self._count += 1
            found.append(line)
        return found

    def rest(self, asked: pb.ReadContainerLogsRequest) -> pb.ReadContainerLogsRequest:
        """What is to be asked for to go on; begins with what was read last."""
        changed = pb.ReadContainerLogsRequest()
        changed.CopyFrom(asked)
        if self._at:
            changed.since = self._at
        elif not asked.tail:
            changed.since = max(asked.since, self._began_at)
        changed.tail = -1
        self._again = self._count
        return changed


def rest_of_wait(
    asked: pb.WaitContainerRequest, view: pb.ContainerView, *, began_at: float
) -> pb.WaitContainerRequest:
    """What to wait for now; the end that was waited for may have come while nobody listened."""
    is_over = ContainerState(view.state) in _OVER and view.finished_at >= began_at
    if asked.condition == pb.WAIT_CONDITION_NEXT_EXIT and is_over:
        return pb.WaitContainerRequest(
            container=asked.container, condition=pb.WAIT_CONDITION_NOT_RUNNING
        )
    return asked
