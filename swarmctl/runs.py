"""Tell the runs of a job in lines, the newest first."""

from collections.abc import Iterable, Iterator

from swarm.objects import Run
from swarm.quantities import format_elapsed
from swarm.states import RunState
from swarmctl.rows import ago
from swarmctl.tables import Listing, Row
from swarmctl.times import rfc3339

RUNS = Listing(
    columns=("Run", "Due", "Started", "Ended", "State", "Tasks"),
    headings={
        "Run": "RUN",
        "Due": "DUE",
        "Started": "STARTED",
        "StartedAt": "STARTED AT",
        "Ended": "ENDED",
        "EndedAt": "ENDED AT",
        "State": "STATE",
        "Tasks": "TASKS",
        "Version": "VERSION",
        "Message": "MESSAGE",
    },
    key="Run",
    drawn=("Started", "Ended"),
)


def run_rows(runs: Iterable[Run], *, now: float) -> Iterator[Row]:
    """A line for each run; of one that was skipped no task was ever started."""
    for run in sorted(runs, key=lambda each: -each.number):
        is_skipped = run.state is RunState.SKIPPED
        yield {
            "Run": str(run.number),
            "Due": rfc3339(run.due_at),
            "Started": "" if is_skipped else ago(run.started_at, now),
            "StartedAt": "" if is_skipped else rfc3339(run.started_at),
            "Ended": ago(run.ended_at, now) if run.ended_at else "",
            "EndedAt": rfc3339(run.ended_at) if run.ended_at else "",
            "State": run.state.word.title(),
            "Tasks": "" if is_skipped else f"{run.completed}/{run.total}",
            "Version": str(run.spec_version),
            "Message": run.message,
        }


def next_line(next_firing_at: float, *, now: float) -> str:
    """`Next run in 5 minutes, at 2026-01-31T12:00:00Z`; empty when none is due."""
    if not next_firing_at:
        return ""
    text = format_elapsed(max(0.0, next_firing_at - now))
    return f"Next run in {text[0].lower()}{text[1:]}, at {rfc3339(next_firing_at)}"
