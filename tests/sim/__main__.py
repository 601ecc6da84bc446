"""Simulate clusters: python -m tests.sim [--seed N] [--seeds N] [--first N].

With `--seed` one run is told line by line; otherwise many are run and counted.
"""

import argparse
import sys
import time

from tests.sim.cluster import Simulation


def tell(seed: int) -> int:
    """Run one seed and print its story."""
    simulation = Simulation(seed)
    try:
        simulation.run()
    finally:
        print("\n".join(simulation.engine.story))
    print(f"seed {seed}: {simulation.engine.events} events, {simulation.engine.now:.0f} s")
    return 0


def count(first: int, seeds: int) -> int:
    """Run many seeds and print those that fail."""
    started, failed, events = time.monotonic(), 0, 0
    for seed in range(first, first + seeds):
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Exception as err:
            failed += 1
            print(f"seed {seed}: {type(err).__name__}: {str(err)[:300]}")
        events += simulation.engine.events
    spent = time.monotonic() - started
    print(f"{seeds} seeds, {failed} failed, {events} events in {spent:.1f} s")
    return 1 if failed else 0


def main() -> int:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.seed is not None:
        return tell(options.seed)
    return count(options.first, options.seeds)


if __name__ == "__main__":
    sys.exit(main())
