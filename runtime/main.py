"""Start swarm-runtime: seal the executable if need be, then carry out the command line.

Commands that enter a container run from a copy of the interpreter that cannot be written
(`runtime.io.sealing`): a program in there can open whatever executable its own process last ran,
and would find the host's. Before that next to nothing is imported, not even `typing`, as it is
imported twice.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH100

import gc
import os
import sys

_ENTERING = ("create", "run", "exec")
_WITH_VALUE = ("root", "log", "log-format", "rootless", "criu")


def main() -> None:
    """Run the command that `sys.argv` names, and end."""
    words = sys.argv[1:]
    if _command(words) in _ENTERING:
        from runtime.io.sealing import run_sealed

        run_sealed([sys.executable, "-IS", os.path.abspath(sys.argv[0]), *words])
    gc.disable()  # a short life, in which collecting would be most of the work
    from runtime import gathered

    modules = gathered.install()
    from runtime.light import load_msgspec

    load_msgspec()
    from runtime.io.command.main import main as carry_out

    status = carry_out(words)
    gathered.keep(modules)
    try:
        sys.stdout.flush()
    except OSError:
        status = status or 1
    os._exit(status)  # nothing is left to be tidied up, and Python's own end takes 5 ms


def _command(words: list[str]) -> str:
    """The first word that is neither a flag nor a flag's value; mistakes are for later."""
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            return word
        if word.lstrip("-") in _WITH_VALUE:
            next(left, "")
    return ""


if __name__ == "__main__":
    main()
