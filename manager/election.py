"""Name what happens in an election of the leader, and what is done about it.

Values only; `manager.leadership` decides. The key `leader` is made by the winner and bound to
a lease; its create revision is the fence of the term.
"""

import msgspec
from msgspec import Struct

from manager.store import Fence, Lease, LeaseId
from swarm.ids import NodeId


class Holder(Struct, frozen=True):
    """What the leader's key says: who leads, by which lease, and where it serves its API."""

    node_id: NodeId
    lease: LeaseId
    address: str


def pack_holder(holder: Holder) -> bytes:
    """Write the key's value; JSON, so that an operator can read who leads with etcdctl."""
    return msgspec.json.encode(holder)


def read_holder(value: bytes) -> Holder | None:
    """Read the key's value; `None` when another version wrote what we cannot read."""
    try:
        return msgspec.json.decode(value, type=Holder)
    except msgspec.MsgspecError:
        return None


# What happened. Results of what was done for a state that is over are ignored.


class Seen(Struct, frozen=True):
    """The key was read; `holder` is `None` when there was none."""

    holder: Holder | None
    create_revision: int = 0


class Granted(Struct, frozen=True):
    """A lease, asked for at `sent_at`."""

    lease: Lease
    sent_at: float


class Claimed(Struct, frozen=True):
    """Our key was made."""

    create_revision: int


class Forestalled(Struct, frozen=True):
    """Someone else made the key first."""


class Vacated(Struct, frozen=True):
    """The key that was made at `create_revision` is gone."""

    create_revision: int


class Renewed(Struct, frozen=True):
    """The lease lives for `ttl_s` from some time after `sent_at`."""

    lease: LeaseId
    ttl_s: int
    sent_at: float


class RenewalFailed(Struct, frozen=True):
    """Nobody answered in time."""

    lease: LeaseId


class Lapsed(Struct, frozen=True):
    """etcd knows nothing of the lease any more."""

    lease: LeaseId


class Revoked(Struct, frozen=True):
    """The lease and its keys are gone."""

    lease: LeaseId


class Failed(Struct, frozen=True):
    """What we were waiting for (a look, a grant, a claim, a revocation) got no answer."""


class Ticked(Struct, frozen=True):
    """Time passed."""


class Withdrawn(Struct, frozen=True):
    """We are asked to stop."""


Event = (
    Seen
    | Granted
    | Claimed
    | Forestalled
    | Vacated
    | Renewed
    | RenewalFailed
    | Lapsed
    | Revoked
    | Failed
    | Ticked
    | Withdrawn
)


# What to do. Each of these but `Announce` and `Release` ends in an event.


class Look(Struct, frozen=True):
    """Read the key."""


class Grant(Struct, frozen=True):
    """Open a lease."""

    ttl_s: int


class Claim(Struct, frozen=True):
    """Make the key, saying this, unless it exists."""

    holder: Holder


class Await(Struct, frozen=True):
    """Wait until the key made at `create_revision` is gone; replaces any earlier waiting."""

    create_revision: int


class Renew(Struct, frozen=True):
    """Keep the lease alive; give up after `timeout_s`."""

    lease: LeaseId
    timeout_s: float


class Revoke(Struct, frozen=True):
    """End a lease that stands in our way, and say so."""

    lease: LeaseId


class Release(Struct, frozen=True):
    """End a lease of ours that nobody needs any more; when that fails it ends by itself."""

    lease: LeaseId


class Elected(Struct, frozen=True):
    """We lead, and this is the term's fence."""

    fence: Fence


class Deposed(Struct, frozen=True):
    """We lead no more."""

    reason: str


class Followed(Struct, frozen=True):
    """Someone else leads."""

    holder: Holder


News = Elected | Deposed | Followed


class Announce(Struct, frozen=True):
    """Tell the rest of this manager."""

    news: News


Effect = Look | Grant | Claim | Await | Renew | Revoke | Release | Announce


# Where we stand.


class Looking(Struct, frozen=True):
    """Reading the key, or waiting until `due_at` to do so. `claim` may or may not stand."""

    due_at: float | None = None
    failures: int = 0
    is_first: bool = False
    claim: Granted | None = None


class Reclaiming(Struct, frozen=True):
    """Ending the lease of our own earlier life."""

    lease: LeaseId
    failures: int = 0


class Following(Struct, frozen=True):
    """Someone leads; waiting for their key to go."""

    create_revision: int


class Granting(Struct, frozen=True):
    """Nobody leads; waiting for a lease."""


class Claiming(Struct, frozen=True):
    """Waiting to hear whether our key was the first."""

    claim: Granted


class Leading(Struct, frozen=True):
    """We lead until `ends_at`, unless the lease is renewed."""

    lease: LeaseId
    fence: Fence
    ends_at: float
    renew_at: float
    ttl_s: int
    is_renewing: bool = False


class Resigned(Struct, frozen=True):
    """We stopped, for good."""


Standing = Looking | Reclaiming | Following | Granting | Claiming | Leading | Resigned
