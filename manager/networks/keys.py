"""Give encrypted networks a new secret from time to time, and take old ones away.

A secret's number is the stretch of time that it was made in, so all leaders agree when one is
due, and a clock that goes back makes none. The one before it is kept, for nodes hear of a new one
at different times. Where no network is encrypted there is none.
"""

from random import Random

from msgspec import Struct

from manager import layout
from manager.store import Absent, Commit, Compare, Delete, Operation, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.sealing import KEY_BYTES, DataKey, seal

ROTATED_EVERY_S = 12 * 3600.0
KEPT = 2


class Rotation(Struct, frozen=True):
    """What to commit, if anything, and when to look again."""

    commit: Commit
    again_at: float


def rotate_keys(view: ClusterView, data_key: DataKey, *, now: float, random: Random) -> Rotation:
    """Make the secret that is due, and forget those that nobody uses any more."""
    due = int(now // ROTATED_EVERY_S)
    again_at = (due + 1) * ROTATED_EVERY_S
    known = sorted(view.network_keys)
    wanted = [each for each in known if each >= due]
    is_encrypted = any(each.spec.encrypted for each in view.networks.values())
    compares, operations = list[Compare](), list[Operation]()
    if is_encrypted and not wanted:
        key = layout.network_secret_key(due)
        secret = random.randbytes(KEY_BYTES)
        sealed = seal(data_key, secret, purpose=purpose_of(due), random=random)
        compares.append(Absent(key))
        operations.append(Put(key, pack(sealed)))
        known.append(due)
    for number in known[:-KEPT] if is_encrypted else known:
        key = layout.network_secret_key(number)
        compares.append(Unchanged(key, view.version(key)))
        operations.append(Delete(key))
    return Rotation(Commit(tuple(compares), tuple(operations)), again_at)


def purpose_of(number: int) -> str:
    """What one of the secrets is sealed for."""
    return f"networks/key-{number}"
