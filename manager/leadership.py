"""Decide when this manager leads, and above all when it must stop.

The leader is whoever made the key `leader`, bound to a lease. Its create revision is the
term's fence: the leader's commits carry it, so that a deposed leader's fail however late they
arrive. Safety rests on that alone. The clock is for promptness: we count a lease's time from
when its renewal was *sent* and stop an eighth early, so we have stopped when others may start.

A manager that was killed finds its own old key when it starts. It revokes the lease that the
key names, which removes the key and nothing else: had someone else become leader since, that
key would be bound to another lease. Should the old process still live, it loses its fence and
with it the power to write. This is done on the first look only, or two processes that were
given one node's identity would depose each other for ever.

A claim whose answer was lost may stand, or may land later. We look: a key that names our
lease is our claim. If there is none, the lease is revoked before we start over, and a claim
that lands after that fails, since its lease is gone.
"""

from msgspec import Struct, structs

from manager.election import (
    Announce,
    Await,
    Claim,
    Claimed,
    Claiming,
    Deposed,
    Effect,
    Elected,
    Event,
    Failed,
    Followed,
    Following,
    Forestalled,
    Grant,
    Granted,
    Granting,
    Holder,
    Lapsed,
    Leading,
    Look,
    Looking,
    Reclaiming,
    Release,
    Renew,
    RenewalFailed,
    Renewed,
    Resigned,
    Revoke,
    Revoked,
    Seen,
    Standing,
    Ticked,
    Vacated,
    Withdrawn,
)
from manager.layout import LEADER
from manager.store import Fence
from swarm.ids import NodeId

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 1.0


class Leadership(Struct, frozen=True, kw_only=True):
    """One manager's part in the election."""

    node_id: NodeId
    address: str
    ttl_s: int
    standing: Standing

    @property
    def next_deadline(self) -> float | None:
        """When to tick, if nothing happens before."""
        match self.standing:
            case Looking(due_at=due_at):
                return due_at
            case Leading() as leading:
                return leading.ends_at if leading.is_renewing else leading.renew_at
            case _:
                return None

    def check(self) -> None:
        """Assert that a leader's renewal comes before its end."""
        if isinstance(self.standing, Leading):
            assert self.standing.renew_at <= self.standing.ends_at
            assert self.standing.fence.key == LEADER
            assert self.standing.fence.create_revision


Step = tuple[Leadership, tuple[Effect, ...]]


def enter(*, node_id: NodeId, address: str, ttl_s: int) -> Step:
    """Take part from now on."""
    standing = Looking(is_first=True)
    return Leadership(node_id=node_id, address=address, ttl_s=ttl_s, standing=standing), (Look(),)


def step(state: Leadership, event: Event, *, now: float) -> Step:
    """Advance by one event; what answers a question of the past is ignored."""
    match state.standing, event:
        case Resigned(), _:
            return state, ()
        case _, Withdrawn():
            return _resign(state)
        case Leading() as leading, _:
            return _hold(state, leading, event, now)
        case Looking() as looking, _:
            return _look(state, looking, event, now)
        case Reclaiming(lease=lease), Revoked(lease=ended) if lease == ended:
            return _campaign(state)
        case Reclaiming(failures=failures), Failed():
            return _retry(state, now, failures=failures, is_first=True)
        case Following(create_revision=awaited), Vacated(create_revision=left) if awaited == left:
            return _campaign(state)
        case Granting(), Granted() as claim:
            holder = Holder(state.node_id, claim.lease.id, state.address)
            return _stand(state, Claiming(claim), Claim(holder))
        case Granting(), Failed():
            return _retry(state, now)
        case Claiming(claim=claim), Claimed(create_revision=revision):
            return _lead(state, claim, revision, now)
        case Claiming(claim=claim), Forestalled():
            return _stand(state, Looking(), Release(claim.lease.id), Look())
        case Claiming(claim=claim), Failed():
            return _retry(state, now, claim=claim)
        case _:
            return state, ()


def _hold(state: Leadership, leading: Leading, event: Event, now: float) -> Step:
    match event:
        case Lapsed(lease=lease) if lease == leading.lease:
            return _depose(state, leading, "the lease ended")
        case Vacated(create_revision=left) if left == leading.fence.create_revision:
            return _depose(state, leading, "the key was removed")
        case Ticked() if now >= leading.ends_at:
            return _depose(state, leading, "the lease could not be renewed in time")
        case Ticked() if now >= leading.renew_at and not leading.is_renewing:
            renewing = structs.replace(leading, is_renewing=True)
            return _stand(state, renewing, Renew(leading.lease, timeout_s=leading.ttl_s / 4))
        case Renewed(lease=lease, ttl_s=ttl_s, sent_at=sent_at) if lease == leading.lease:
            return _stand(state, _until(leading, ttl_s, sent_at))
        case RenewalFailed(lease=lease) if lease == leading.lease:
            again_at = min(now + leading.ttl_s / 20, leading.ends_at)
            waiting = structs.replace(leading, is_renewing=False, renew_at=again_at)
            return _stand(state, waiting)
        case _:
            return state, ()


def _look(state: Leadership, looking: Looking, event: Event, now: float) -> Step:
    match event:
        case Seen() as seen:
            return _judge(state, looking, seen, now)
        case Failed():
            return _retry(
                state,
                now,
                failures=looking.failures,
                is_first=looking.is_first,
                claim=looking.claim,
            )
        case Ticked() if looking.due_at is not None and now >= looking.due_at:
            return _stand(state, structs.replace(looking, due_at=None), Look())
        case _:
            return state, ()


def _judge(state: Leadership, looking: Looking, seen: Seen, now: float) -> Step:
    holder, claim = seen.holder, looking.claim
    if claim is not None and holder is not None and holder.lease == claim.lease.id:
        return _lead(state, claim, seen.create_revision, now)
    release = (Release(claim.lease.id),) if claim is not None else ()
    if not seen.create_revision:
        return _stand(state, Granting(), *release, Grant(state.ttl_s))
    if holder is not None and holder.node_id == state.node_id and looking.is_first:
        return _stand(state, Reclaiming(holder.lease, looking.failures), Revoke(holder.lease))
    news = (Announce(Followed(holder)),) if holder is not None else ()
    following = Following(seen.create_revision)
    return _stand(state, following, *release, *news, Await(seen.create_revision))


def _campaign(state: Leadership) -> Step:
    return _stand(state, Granting(), Grant(state.ttl_s))


def _lead(state: Leadership, claim: Granted, create_revision: int, now: float) -> Step:
    lease, fence = claim.lease, Fence(LEADER, create_revision)
    fresh = Leading(lease=lease.id, fence=fence, ends_at=0.0, renew_at=0.0, ttl_s=lease.ttl_s)
    leading = _until(fresh, lease.ttl_s, claim.sent_at)
    if now >= leading.ends_at:
        state, _ = _retry(state, now)
        return state, (Release(lease.id),)
    return _stand(state, leading, Announce(Elected(fence)), Await(create_revision))


def _until(leading: Leading, ttl_s: int, sent_at: float) -> Leading:
    """Lead on by a lease that began no earlier than `sent_at`."""
    return structs.replace(
        leading,
        ttl_s=ttl_s,
        ends_at=sent_at + ttl_s * 7 / 8,
        renew_at=sent_at + ttl_s / 3,
        is_renewing=False,
    )


def _depose(state: Leadership, leading: Leading, reason: str) -> Step:
    news = Announce(Deposed(reason))
    return _stand(state, Looking(), news, Release(leading.lease), Look())


def _resign(state: Leadership) -> Step:
    match state.standing:
        case Leading(lease=lease):
            news = Announce(Deposed("it resigned"))
            return _stand(state, Resigned(), news, Release(lease))
        case Claiming(claim=Granted(lease=lease)) | Looking(claim=Granted(lease=lease)):
            return _stand(state, Resigned(), Release(lease.id))
        case _:
            return _stand(state, Resigned())


def _retry(
    state: Leadership,
    now: float,
    *,
    failures: int = 0,
    is_first: bool = False,
    claim: Granted | None = None,
) -> Step:
    pause_s = min(_FIRST_RETRY_S * 2.0**failures, _LONGEST_RETRY_S)
    looking = Looking(due_at=now + pause_s, failures=failures + 1, is_first=is_first, claim=claim)
    return _stand(state, looking)


def _stand(state: Leadership, standing: Standing, *effects: Effect) -> Step:
    return structs.replace(state, standing=standing), effects
