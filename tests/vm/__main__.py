"""Run tests in a Debian kernel with cgroup v2 only, emulated.

usage: python -m tests.vm [--timeout SECONDS] [PYTEST-ARGUMENT...]
       python -m tests.vm [--timeout SECONDS] --shell COMMAND

Without arguments: everything that needs a kernel. The exit code is pytest's, or the command's.
"""

import argparse
import os
import signal
import sys
import time

from tests.vm import kernel, machine

# Emulated, a test takes up to twenty times as long.
PYTEST = ("-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-o", "timeout=600")
EVERYTHING = ("-m", "kernel", "tests/kernel", "tests/runtime")


def main() -> int:
    """Boot once, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS")
    parser.add_argument("--shell", metavar="COMMAND", help="run this instead of pytest")
    options, words = parser.parse_known_args()
    if os.geteuid() != 0:
        raise SystemExit("kernel-v2 serves the host's files to its guest, which takes root")
    command = ["sh", "-c", options.shell] if options.shell else []
    command = command or [sys.executable, *PYTEST, *(words or EVERYTHING)]
    # Leave by the way that ends the emulator too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    found = kernel.kernel()
    started = time.monotonic()
    code = machine.run(found, command, timeout_s=options.timeout)
    print(f"kernel-v2: {found.release}: exit {code} after {time.monotonic() - started:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
