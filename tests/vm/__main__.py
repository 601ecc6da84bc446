"""Run tests in a Debian kernel with cgroup v2 only and WireGuard, emulated.

usage: python -m tests.vm [--timeout SECONDS] [PYTEST-ARGUMENT...]
       python -m tests.vm [--timeout SECONDS] --quick
       python -m tests.vm [--timeout SECONDS] --shell COMMAND

Without arguments: everything that needs a kernel, which takes most of an hour. With
`--quick`, what depends on the kernel most; where that cannot run, it says why and is content.
The exit code is pytest's, or the command's.
"""

import argparse
import os
import platform
import signal
import sys
import time

from swarm.errors import Missing
from tests.vm import kernel, machine

# Emulated, a test takes up to twenty times as long.
PYTEST = ("-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-o", "timeout=600")
EVERYTHING = ("-m", "kernel", "tests/kernel", "tests/runtime")
QUICK = tuple(
    f"tests/kernel/test_{name}.py"
    for name in ("cgroup_v2", "cgroups", "limits", "pause", "encryption")
)


def main() -> int:
    """Boot once, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--timeout", type=float, default=5400.0, metavar="SECONDS")
    parser.add_argument("--shell", metavar="COMMAND", help="run this instead of pytest")
    parser.add_argument("--quick", action="store_true", help="run a choice, if possible")
    options, words = parser.parse_known_args()
    chosen = words or (QUICK if options.quick else EVERYTHING)
    command = [sys.executable, *PYTEST, *chosen]
    if options.shell:
        command = ["sh", "-c", options.shell]
    # Leave by the way that ends the emulator too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    started = time.monotonic()
    try:
        found = _kernel()
        code = machine.run(found, command, timeout_s=options.timeout)
    except Missing as err:
        print(f"kernel-v2: not run: {err.message} ({err.hint})", file=sys.stderr)
        return 0 if options.quick else 1
    print(f"kernel-v2: {found.release}: exit {code} after {time.monotonic() - started:.0f} s")
    return code


def _kernel() -> kernel.Kernel:
    if os.geteuid() != 0:
        raise Missing("serving the host's files to a guest takes root", hint="become root")
    if platform.machine() != "x86_64":
        raise Missing(f"{kernel.FLAVOUR} does not boot on {platform.machine()}", hint="use x86_64")
    return kernel.kernel()


if __name__ == "__main__":
    sys.exit(main())
