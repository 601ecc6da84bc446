"""Read the seccomp profiles that flags name: what travels is the profile, not its path."""

from collections.abc import Iterable
from pathlib import Path

from runtime.seccomp.profiles import problems
from swarm.errors import Invalid
from swarm.seccomp import compact
from swarmctl.security import seccomp_file


def read_profiles(options: Iterable[str]) -> tuple[str, ...]:
    """Each `--security-opt`, with the profile in place of its file."""
    return tuple(_read(each) for each in options)


def _read(option: str) -> str:
    path = seccomp_file(option)
    if not path:
        return option
    flag = f"--security-opt seccomp={path}"
    try:
        profile = compact(Path(path).read_bytes())
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else str(err)
        raise Invalid(
            f"{flag}: {reason}", hint="give a file that can be read, or default or unconfined"
        ) from err
    except Invalid as err:
        raise Invalid(f"{flag}: {err.message}", hint=err.hint) from err
    if found := problems(profile):
        told = tuple(f"{flag}: {each}" for each in found)
        raise Invalid(told[0], problems=told)
    return f"seccomp={profile}"
