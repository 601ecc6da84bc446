"""Measure this project's targets, side by side with Docker Swarm where it is installed.

usage: python -m benchmarks [--rounds N] [--overlay] [--without-docker]
"""

import argparse
import json
from pathlib import Path

from benchmarks.docker import DAEMON, Docker
from benchmarks.ours import Ours
from benchmarks.service import life, rootfs


def main() -> None:
    """Run every contender in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overlay", action="store_true", help="not in the host's network")
    parser.add_argument("--without-docker", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    contenders: list[type[Ours] | type[Docker]] = [Ours]
    if Path(DAEMON).exists() and not options.without_docker:
        contenders.append(Docker)
    figures: dict[str, dict[str, float]] = {}
    for kind in contenders:
        contender = kind(network="bench" if options.overlay else "host")
        try:
            contender.init(rootfs())
            figures[contender.name] = life(contender, options.rounds)
        finally:
            contender.close()
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def table(figures: dict[str, dict[str, float]]) -> str:
    """Contenders as columns; the last one is the first one's share of the second."""
    names = list(figures)
    rows = list(dict.fromkeys(what for each in figures.values() for what in each))
    lines = [f"{'':32}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>8}"]
    for what in rows:
        values = [figures[name].get(what) for name in names]
        cells = "".join(f"{value:12.2f}" if value is not None else f"{'-':>12}" for value in values)
        both = len(values) == 2 and None not in values
        ratio = f"{values[0] / values[1]:8.2f}" if both and values[1] else ""
        lines.append(f"{what:32}{cells}{ratio}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
