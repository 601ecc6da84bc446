"""Wait until a service has converged, and show how far it is.

The manager pushes each change, so there is nothing to poll. Losing sight of a manager is no
failure of the service: we look again for a while before giving up.
"""

import time

from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Missing, Refused, Unavailable
from swarm.objects import Rollout
from swarm.quantities import format_duration
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session
from swarmctl.progress import SETTLE_S, Convergence, Progress, picture, summary

GIVE_UP_S = 15.0
LOOK_AGAIN_S = 0.25


def watch(
    session: Session,
    service_id: str,
    name: str,
    *,
    quiet: bool = False,
    settle_s: float = SETTLE_S,
) -> None:
    """Return when the service `name` has converged; interrupted, say that it goes on.

    Quietly, it is enough that everything runs at one moment, unless something failed before.
    """
    try:
        _Watch(session, service_id, name, quiet=quiet, settle_s=0.0 if quiet else settle_s).run()
    except KeyboardInterrupt:
        session.warn(
            f"\nService {name} goes on in the background.\n"
            f"Hint: `swarmctl service ps {name}` shows how far it is"
        )
        raise


class _Watch:
    def __init__(
        self, session: Session, service_id: str, name: str, *, quiet: bool, settle_s: float
    ) -> None:
        self._session = session
        self._service_id = service_id
        self._name = name
        self._quiet = quiet
        self._canvas = Canvas(session)
        self._convergence = Convergence(settle_s=settle_s)
        self._told: set[str] = set()
        self._lost_at: float | None = None

    def run(self) -> None:
        while True:
            try:
                self._follow()
                break
            except Unavailable:
                now = time.monotonic()
                self._lost_at = self._lost_at or now
                if now - self._lost_at > GIVE_UP_S:
                    raise
                time.sleep(LOOK_AGAIN_S)
        if not self._quiet:
            self._say_converged()

    def _follow(self) -> None:
        updates = self._session.control.watch_service(self._service_id, patience=self._patience)
        try:
            for update in updates:
                now = time.monotonic()
                if update is not None:
                    self._lost_at = None
                    self._seen(update, now)
                if failure := self._convergence.failure:
                    self._give_up(failure)
                if self._convergence.has_converged(now=now):
                    return
        finally:
            updates.close()
        raise Unavailable(f"lost sight of service {self._name}")

    def _patience(self) -> float | None:
        deadline = self._convergence.deadline()
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _seen(self, update: control_pb2.ServiceProgress, now: float) -> None:
        if update.removed:
            raise Missing(f"service {self._name} was removed meanwhile")
        if update.failure:
            self._canvas.leave()
            raise Refused(
                f"service {self._name} can never converge: {update.failure}",
                hint=f"`swarmctl service ps {self._name}` shows its tasks; once the cause is"
                f" mended, start them again: swarmctl service update --force {self._name}",
            )
        progress = Progress(
            wanted=update.wanted,
            running=update.running,
            states=dict(update.states),
            problems=tuple(update.problems),
            old=update.old,
            rollout=from_message(Rollout, update.rollout) if update.HasField("rollout") else None,
        )
        self._convergence.seen(progress, now=now)
        if self._quiet:
            return
        lines = picture(progress, columns=self._session.columns())
        if progress.is_up and not progress.old and not self._convergence.has_converged(now=now):
            patience = format_duration(self._convergence.patience_s)
            waiting = f"waiting {patience} to see" if progress.is_reached else "waiting to see"
            lines.append(f"verify: {waiting} that the tasks are stable")
        self._canvas.paint(lines)
        if not self._canvas.is_live:
            self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        for problem in progress.problems:
            if problem not in self._told:
                self._told.add(problem)
                self._session.say(f"{summary(progress)}: {problem}")

    def _give_up(self, failure: str) -> None:
        """Tell how the rollout went; it is not what the command asked for."""
        self._canvas.leave()
        latest = self._convergence.latest
        assert latest is not None
        hint = f"`swarmctl service ps {self._name}` shows the tasks"
        if latest.is_stuck:
            hint = (
                f"`swarmctl service promote {self._name}` lets it go on,"
                f" `swarmctl service rollback {self._name}` leads back"
            )
        raise Refused(f"service {self._name}: {failure}", hint=hint)

    def _say_converged(self) -> None:
        latest = self._convergence.latest
        assert latest is not None
        if not self._canvas.is_live:
            self._session.say(summary(latest))
        self._canvas.leave()
        if latest.is_held and latest.rollout is not None:
            self._session.say(f"verify: Service {self._name} holds: {latest.rollout.message}")
            return
        self._session.say(f"verify: Service {self._name} converged")
