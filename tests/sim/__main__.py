"""Simulate clusters: many seeds and how they went, or one and its story.

With `--seed` one run is told line by line, and shrunk with `--shrink`. Otherwise many are
run in `--jobs` processes; of what fails, the first is shrunk for a minute and told.
"""

import argparse
import sys
from collections import Counter

from tests.sim.farm import Outcome, commit, harvest, outcome, seconds
from tests.sim.mutations import applied
from tests.sim.scenario import draw
from tests.sim.shrinking import Shrinking

SHRINK_S = 60.0


def replay(seed: int, *, shrink_s: float) -> int:
    """Run one seed, shrink it if it fails and that is asked for, and tell it."""
    found = outcome(draw(seed), with_story=True)
    if found.rule and shrink_s:
        found = shrunk(found, within_s=shrink_s)
    print("\n".join(found.told()))
    return 1 if found.rule else 0


def shrunk(failure: Outcome, *, within_s: float) -> Outcome:
    """The shortest form of a failure that was found in time."""
    shrinking = Shrinking(failure, within_s=within_s)
    found = shrinking.run()
    before, after = failure.scenario.happenings, found.scenario.happenings
    print(
        f"shrunk from {len(before)} happenings and {len(failure.story)} lines to {len(after)}"
        f" and {len(found.story)} in {shrinking.tried} runs"
    )
    print(f"  left are {', '.join(map(str, after)) or 'none'}")
    return found


def count(first: int, seeds: int, *, jobs: int, mutation: str, shrink_s: float) -> int:
    """Run many seeds, print those that fail, and tell the first of them."""
    began, events, failed = seconds(), 0, list[Outcome]()
    hits = Counter[str]()
    for found in harvest(range(first, first + seeds), jobs=jobs, mutation=mutation):
        events += found.events
        hits.update(found.hits)
        if found.rule:
            failed.append(found)
            print(f"seed {found.seed}: {found.what[:300]}", flush=True)
    spent = seconds() - began
    print(
        f"{seeds} seeds, {len(failed)} failed, {events} events in {spent:.1f} s:"
        f" {seeds / spent:.1f} seeds/s, commit {commit()}"
    )
    if failed and shrink_s:
        print("\n".join(shrunk(failed[0], within_s=shrink_s).told()))
    return 1 if failed else 0


def main() -> int:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one and tell it")
    parser.add_argument("--seeds", type=int, default=200, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="beginning with this one")
    parser.add_argument("--jobs", type=int, default=2, help="in so many processes")
    parser.add_argument("--shrink", type=float, default=None, help="shrink a failure so long (s)")
    parser.add_argument("--mutation", default="", help="with a deliberate bug, by name")
    options = parser.parse_args()
    if options.seed is not None:
        with applied(options.mutation):
            return replay(options.seed, shrink_s=options.shrink or 0.0)
    shrink_s = SHRINK_S if options.shrink is None else options.shrink
    return count(
        options.first,
        options.seeds,
        jobs=options.jobs,
        mutation=options.mutation,
        shrink_s=0.0 if options.mutation else shrink_s,
    )


if __name__ == "__main__":
    sys.exit(main())
