"""Run one manager: `python -m manager.main --config FILE`.

swarmd starts this process and starts it again when it ends; it ends itself when swarmd is
gone. It needs nothing from its earlier life: everything is in the store. SIGTERM resigns, so
that another manager leads at once, and closes the sessions, so that agents look for one.
"""

import argparse
import asyncio
import gc
import sys
from pathlib import Path

from manager.config import read_config
from swarm.errors import SwarmError
from swarm.io.allocation import importing, share_one_arena
from swarm.io.log import configure
from swarm.io.parent import live_with_parent


def main() -> None:
    """Read the configuration and run until told to stop."""
    live_with_parent()
    share_one_arena()
    parser = argparse.ArgumentParser(prog="swarm-manager")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        config = read_config(arguments.config)
        log = configure("manager", level=config.log_level)
        # Importing takes most of the time of a start, so what can fail early fails before it.
        with importing():
            from manager.io.process import run
        # What a manager keeps are values, which die by their counts. Collections are for the
        # few cycles of calls that failed, and need not walk a million tasks for each thousand.
        gc.set_threshold(20_000, 50, 50)
        asyncio.run(run(config, log))
    except* SwarmError as failed:
        sys.exit("\n".join(map(_told, failed.exceptions)))


def _told(error: SwarmError | ExceptionGroup[SwarmError]) -> str:
    if isinstance(error, ExceptionGroup):
        return "\n".join(map(_told, error.exceptions))
    return f"Error: {error.message}" + (f"\nHint: {error.hint}" if error.hint else "")


if __name__ == "__main__":
    main()
