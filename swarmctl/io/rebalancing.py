"""Have tasks moved wave by wave, and wait for each to be over."""

import time

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.errors import Missing
from swarmctl.io.session import Session

LOOK_AGAIN_S = 0.2
HELD_BACK_S = 1.0
PATIENCE_S = 60.0


class Waves:
    """The waves of one command; at most `max_moves` tasks in all (0: as many as help)."""

    def __init__(self, session: Session, *, max_moves: int) -> None:
        self._session = session
        self._max_moves = max_moves
        self._moved = 0

    def show(self) -> None:
        """Print what would be moved."""
        found = self._ask(dry_run=True)
        for move in found.moves:
            self._session.say(_told(move))
        if not found.moves and not found.held_back:
            self._session.say("Nothing to move: tasks are spread as evenly as they may be.")
        elif found.held_back:
            self._session.say(f"{_moves(found.held_back)} would follow in later waves.")

    def make_one(self) -> None:
        """Have the first wave begin."""
        found = self._ask()
        for move in found.moves:
            self._session.say(_told(move))
        if found.held_back:
            self._session.say(f"{_moves(found.held_back)} left: run the command again.")
        elif not found.moves:
            self._session.say("Nothing to move: tasks are spread as evenly as they may be.")

    def make_all(self) -> None:
        """Have wave after wave made, until nothing is left to move."""
        is_told = False
        while self._max_moves == 0 or self._moved < self._max_moves:
            found = self._ask()
            for move in found.moves:
                self._session.say(_told(move))
            self._moved += len(found.moves)
            if not found.moves and not found.held_back:
                break
            if found.moves:
                is_told = False
                self._wait(found)
                continue
            if not is_told:
                self._session.say(f"waiting: {_moves(found.held_back)} held back by budgets")
                is_told = True
            time.sleep(HELD_BACK_S)
        if not self._moved:
            self._session.say("Nothing to move: tasks are spread as evenly as they may be.")
        else:
            self._session.say(f"{_moves(self._moved)} made")

    def _ask(self, *, dry_run: bool = False) -> control_pb2.RebalanceResponse:
        left = self._max_moves - self._moved if self._max_moves else 0
        request = control_pb2.RebalanceRequest(max_moves=left, dry_run=dry_run)
        return self._session.control.rebalance(request)

    def _wait(self, wave: control_pb2.RebalanceResponse) -> None:
        """Return once none of the wave's tasks runs where it was, or one takes too long."""
        left, since = list(wave.moves), time.monotonic()
        while left := [each for each in left if not self._is_over(each.task_id)]:
            if time.monotonic() - since > PATIENCE_S:
                names = ", ".join(each.name for each in left)
                self._session.say(f"still on the way: {names}")
                return
            time.sleep(LOOK_AGAIN_S)

    def _is_over(self, task_id: str) -> bool:
        try:
            found = self._session.control.tasks(control_pb2.ListTasksRequest(tasks=[task_id]))
        except Missing:
            return True
        ended = objects_pb2.TASK_STATE_RUNNING
        return all(each.observation.state > ended for each in found)


def _told(move: control_pb2.Move) -> str:
    return f"{move.name}: {move.from_hostname} -> {move.to_hostname} ({move.reason})"


def _moves(count: int) -> str:
    return "1 move" if count == 1 else f"{count} moves"
