"""Decide when this node asks for its next certificate, and what it makes of the answer.

The first request comes before half of a certificate's life, so there is another half to retry
in. Retries back off, but never by more than a tenth of what is left: the nearer the end, the
more often we ask. A certificate that came too late is still worth asking for: the manager's
clock decides, not ours.
"""

from random import Random
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from swarm.certificates import Identity, Subject, renew_at, subject_of

FIRST_RETRY_S = 15.0
LAST_RETRY_S = 3600.0
LEAST_RETRY_S = 1.0


class Renewal(Struct, frozen=True, kw_only=True):
    """Where the renewal of one certificate stands."""

    subject: Subject
    due: float
    attempts: int = 0
    is_asking: bool = False


class Woke(Struct, frozen=True):
    """Time has passed."""


class Granted(Struct, frozen=True):
    """A manager signed; the identity's own parts agree already."""

    identity: Identity


class Installed(Struct, frozen=True):
    """The identity on disk was replaced."""

    identity: Identity


class Failed(Struct, frozen=True):
    """No certificate this time."""

    reason: str


class Ask(Struct, frozen=True):
    """Make a new key, and ask a manager to sign it."""


class Install(Struct, frozen=True):
    """Replace the identity on disk, atomically."""

    identity: Identity


class Report(Struct, frozen=True, kw_only=True):
    """Tell the operator; `left_s` below zero means that the node is locked out."""

    reason: str
    attempts: int
    retry_s: float
    left_s: float


Event = Woke | Granted | Installed | Failed
Effect = Ask | Install | Report


def begin(identity: Identity, *, random: Random) -> Renewal:
    """Start with the identity on disk."""
    subject = subject_of(identity)
    return Renewal(subject=subject, due=renew_at(subject, random))


def next_deadline(renewal: Renewal) -> float | None:
    """When to send `Woke`; None while a manager is being asked."""
    return None if renewal.is_asking else renewal.due


def step(
    renewal: Renewal, event: Event, *, now: float, random: Random
) -> tuple[Renewal, tuple[Effect, ...]]:
    """Advance by one event."""
    match event:
        case Woke():
            if renewal.is_asking or now < renewal.due:
                return renewal, ()
            return replace(renewal, is_asking=True), (Ask(),)
        case Granted(identity):
            fault = _fault(renewal.subject, subject_of(identity))
            if fault:
                return _retry(renewal, fault, now=now, random=random)
            return renewal, (Install(identity),)
        case Installed(identity):
            return begin(identity, random=random), ()
        case Failed(reason):
            return _retry(renewal, reason, now=now, random=random)
        case _:
            assert_never(event)


def check(renewal: Renewal) -> None:
    """Assert what must hold after every event."""
    assert renewal.attempts >= 0
    assert renewal.due > renewal.subject.not_before


def _fault(ours: Subject, granted: Subject) -> str:
    if (granted.node_id, granted.cluster_id) != (ours.node_id, ours.cluster_id):
        return f"was given the certificate of {granted.node_id} instead of {ours.node_id}"
    if granted.not_after <= ours.not_after and granted.role is ours.role:
        return "was given a certificate that ends no later than the one we have"
    return ""


def _retry(
    renewal: Renewal, reason: str, *, now: float, random: Random
) -> tuple[Renewal, tuple[Effect, ...]]:
    attempts = renewal.attempts + 1
    left_s = renewal.subject.not_after - now
    backoff_s = min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 16), LAST_RETRY_S)
    if left_s > 0:
        backoff_s = min(backoff_s, left_s / 10)
    retry_s = max(LEAST_RETRY_S, backoff_s * random.uniform(0.5, 1.0))
    report = Report(reason=reason, attempts=attempts, retry_s=retry_s, left_s=left_s)
    return replace(renewal, attempts=attempts, due=now + retry_s, is_asking=False), (report,)
