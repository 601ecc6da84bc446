"""Choose which of the swarm's secrets a pair of nodes uses, where the two may know different ones.

A new secret is used as soon as it is heard of. Nothing is lost by that: WireGuard's sessions go
on with the keys that they have, for three minutes, and only their renewal, which begins after two,
takes the new secret. Both nodes have heard of it by then, all but always.

Where one has not, handshakes fail, and nobody says why. So a side that sends and gets no handshake
goes back to the secret before, in time for the session that still lasts, and tries the new one
again with the next. It never goes back beyond one that has worked: the other side knows that one
too. A side that cannot tell takes turns; one of the two takes them three times as slowly, so they
meet.
"""

from collections.abc import Collection, Iterable
from math import inf
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.network.kernel import TunnelActivity

LOOK_S: Final = 10.0
"""How often to look at a pair that is in doubt."""

STALE_S: Final = 135.0
"""The age of a session that was to be renewed (from 120 s on, every 5 s) and was not."""

PATIENCE_S: Final = 15.0
LONG_PATIENCE_S: Final = 3 * PATIENCE_S

_KEPT: Final = 2


class Agreement(Struct, frozen=True, kw_only=True):
    """What a pair uses from `since` on: the secret with this `number`.

    `newest` is the newest that was known then, and `agreed` the latest that a handshake succeeded
    with, 0 if that is not known. `seen` is what the last look has found, None when there was none
    since the number changed.
    """

    number: int
    newest: int
    since: float
    agreed: int = 0
    seen: TunnelActivity | None = None


def agree(before: Agreement | None, numbers: Iterable[int], *, now: float) -> Agreement:
    """Use the newest of these secrets, of which there is at least one, if it is news."""
    known = set(numbers)
    newest = max(known)
    if before is None:
        return Agreement(number=newest, newest=newest, since=now)
    if before.newest == newest and before.number in known:
        return before
    return _changed(replace(before, newest=newest), newest, now)


def judge(
    before: Agreement,
    numbers: Collection[int],
    found: TunnelActivity,
    *,
    patience_s: float,
    now: float,
) -> Agreement:
    """Look at what a pair has done since the last look; `now` is of the host's clock."""
    seen = before.seen
    if seen is None:
        return replace(before, seen=found)
    after = replace(before, seen=found)
    if found.handshake_at > seen.handshake_at:
        after = replace(after, agreed=max(before.agreed, before.number))
        return _changed(after, before.newest, now)
    age_s = now - found.handshake_at if found.handshake_at else inf
    is_asking = found.sent_bytes > seen.sent_bytes
    if is_asking and age_s > STALE_S and now - before.since >= patience_s:
        return replace(_changed(after, _next(before, numbers), now), since=now)
    return after


def is_settled(agreement: Agreement) -> bool:
    """Whether the pair has come to use the newest secret."""
    return agreement.agreed == agreement.newest


def patience_s(own: bytes, other: bytes) -> float:
    """How long the side with the public key `own` tries a secret before it takes another."""
    return PATIENCE_S if own < other else LONG_PATIENCE_S


def _changed(before: Agreement, number: int, now: float) -> Agreement:
    if number == before.number:
        return before
    return replace(before, number=number, since=now, seen=None)


def _next(before: Agreement, numbers: Collection[int]) -> int:
    """The secret whose turn it is: the one before, and after the last the newest."""
    newest = sorted(numbers)[-_KEPT:]
    eligible = [each for each in newest if each >= before.agreed] or newest
    older = [each for each in eligible if each < before.number]
    return max(older or eligible)
