"""Make up the name of a service that nobody named."""

from random import Random

from swarm.ids import make_id

_DIGITS = 10


def make_name(random: Random) -> str:
    """A name such as `service-0k3v9x1c0q`, which no other service has."""
    return f"service-{make_id(random)[-_DIGITS:]}"
