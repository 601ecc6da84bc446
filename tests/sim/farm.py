"""Run many seeds, in several processes, and tell how each went."""

import multiprocessing
import subprocess
import time
import traceback
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from tests.sim import mutations
from tests.sim.cluster import Simulation
from tests.sim.engine import Violated
from tests.sim.scenario import Scenario, draw


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run went: `rule` is empty when all was well, else the rule or error that ended it."""

    scenario: Scenario
    rule: str = ""
    what: str = ""
    at: float = 0.0
    events: int = 0
    hits: dict[str, int] = {}
    story: tuple[str, ...] = ()
    trace: str = ""

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.scenario.seed

    def told(self) -> Iterator[str]:
        """The story of the run, and how it ended, line by line."""
        yield from self.story
        scenario = self.scenario
        yield f"seed {self.seed}, commit {commit()}: {self.events} events, {self.at:.0f} s"
        yield (
            f"  {scenario.managers} managers, {scenario.nodes} nodes,"
            f" {scenario.operations} operations a commit, {scenario.history} attempts kept"
        )
        yield f"  features: {', '.join(sorted(scenario.features)) or 'none'}"
        hits = (f"{name} x{count}" for name, count in sorted(self.hits.items()))
        yield f"  faults: {', '.join(hits) or 'none'}"
        yield f"  {self.what or 'all is well'}"
        yield self.trace


def outcome(scenario: Scenario, *, with_story: bool = False) -> Outcome:
    """Run it; a failure is an outcome like others."""
    simulation, rule, what, trace = Simulation(scenario), "", "", ""
    try:
        simulation.run()
    except Violated as err:
        rule, what = err.rule, str(err)
    except Exception as err:
        place = traceback.extract_tb(err.__traceback__)[-1]
        rule, what = f"{type(err).__name__} in {place.name}", f"{type(err).__name__}: {err}"
        trace = traceback.format_exc()
    engine = simulation.engine
    return Outcome(
        scenario=scenario,
        rule=rule,
        what=what,
        at=engine.now,
        events=engine.events,
        hits=engine.hits,
        story=tuple(engine.story) if rule or with_story else (),
        trace=trace,
    )


def outcome_of_seed(seed: int, mutation: str = "") -> Outcome:
    """The same, with a deliberate bug if one is named."""
    with mutations.applied(mutation):
        return outcome(draw(seed))


def harvest(seeds: Iterable[int], *, jobs: int, mutation: str = "") -> Iterator[Outcome]:
    """Run all these seeds; outcomes come in the order of the seeds."""
    run = partial(outcome_of_seed, mutation=mutation)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def seconds() -> float:
    """Wall-clock time, for rates."""
    return time.monotonic()


def commit() -> str:
    """What is checked out here, for the record of a failure."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "an unknown commit"
