"""Run one manager: `python -m manager.main --config FILE`.

swarmd starts this process and starts it again when it ends; it ends itself when swarmd is
gone. It needs nothing from its earlier life: everything is in the store. SIGTERM resigns, so
that another manager leads at once, and closes the sessions, so that agents look for one.
"""

import argparse
import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path

from manager.config import read_config
from swarm.errors import SwarmError
from swarm.io.log import configure

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read the configuration and run until told to stop."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(prog="swarm-manager")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    _die_with(parent)
    try:
        config = read_config(arguments.config)
        log = configure("manager", level=config.log_level)
        # Importing takes most of the time of a start, so what can fail early fails before it.
        from manager.io.process import run

        asyncio.run(run(config, log))
    except* SwarmError as failed:
        sys.exit("\n".join(map(_told, failed.exceptions)))


def _told(error: SwarmError | ExceptionGroup[SwarmError]) -> str:
    if isinstance(error, ExceptionGroup):
        return "\n".join(map(_told, error.exceptions))
    return f"Error: {error.message}" + (f"\nHint: {error.hint}" if error.hint else "")


def _die_with(parent: int) -> None:
    """Have the kernel end us when swarmd dies; if it died just now, end at once."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("swarmd is gone")


if __name__ == "__main__":
    main()
