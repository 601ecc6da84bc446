"""Decide when a daemon that died is started again.

The first time at once: that is what a crash deserves. If it keeps dying, one second later,
then two, up to a minute, so that a daemon which cannot start does not eat the node. A life of
a minute clears the record. The record outlives us, since every new swarmd brings a launcher of
its own, which would otherwise know nothing of the deaths before.
"""

from typing import Final

from msgspec import Struct

LONGEST_DELAY_S: Final = 60.0
_CLEARING_LIFE_S: Final = 60.0


class Respawns(Struct, frozen=True, kw_only=True):
    """How many deaths followed each other closely, and when we last acted on one."""

    deaths: int = 0
    last_at: float = 0.0


def after_death(record: Respawns, *, now: float) -> tuple[Respawns, float]:
    """The new record, and how long to wait before starting it again.

    A clock that was set back counts as a long life, rather than as a wait until it catches up.
    """
    since_s = now - record.last_at
    deaths = record.deaths + 1 if 0 <= since_s < _CLEARING_LIFE_S else 1
    delay_s = 0.0 if deaths == 1 else min(LONGEST_DELAY_S, 2.0 ** min(deaths - 2, 10))
    return Respawns(deaths=deaths, last_at=now + delay_s), delay_s
