"""Decide whether a container that ended starts again, and after how long.

As with Docker: a tenth of a second, twice as long each time up to a minute, and from the
beginning after a run of ten seconds. With `on-failure` a clean end is an end. Containers that
are to run always come up with the host even if they were stopped by hand, and that is all that
tells `always` from `unless-stopped`.
"""

from swarm.standalone import ContainerRestart, Restarting

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0
GOOD_RUN_S = 10.0


def comes_back(policy: ContainerRestart, *, exit_code: int, restart_count: int) -> bool:
    """Whether one that ended by itself starts again; `restart_count` is how often it did."""
    match policy.condition:
        case Restarting.ALWAYS | Restarting.UNLESS_STOPPED:
            return True
        case Restarting.ON_FAILURE:
            most = policy.max_retries
            return exit_code != 0 and (most == 0 or restart_count < most)
        case Restarting.NO:
            return False


def comes_up(policy: ContainerRestart, *, by_hand: bool) -> bool:
    """Whether one that rests starts with the host."""
    match policy.condition:
        case Restarting.ALWAYS:
            return True
        case Restarting.UNLESS_STOPPED:
            return not by_hand
        case Restarting.ON_FAILURE | Restarting.NO:
            return False


def delay_s(before_s: float, *, ran_s: float) -> float:
    """How long to wait after a run of `ran_s`, where the last wait was `before_s`."""
    if before_s <= 0 or ran_s >= GOOD_RUN_S:
        return FIRST_DELAY_S
    return min(before_s * 2, LONGEST_DELAY_S)
