"""Translate between the store's values and etcd's messages, and etcd's errors into ours.

The swarm's prefix (`root`) is added and taken off here and nowhere else.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import grpc
from aetcd.rpc import rpc_pb2
from aetcd.rpc.kv_pb2 import Event, KeyValue

from manager.store import (
    Absent,
    Batch,
    Change,
    Commit,
    Compacted,
    Compare,
    Delete,
    DeletePrefix,
    Fence,
    Item,
    LeaseId,
    Operation,
    Put,
    Unchanged,
    holds,
)
from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError, Unavailable

# After a conflict etcd tells us how these many compares' keys stand, so that we can say why.
_EXPLAINED = 16

_HINT = "check that etcd runs on this manager and that a majority of the managers is up"

# What gRPC says of a call that it never sent, and etcd of one that it did not look at.
_NOT_BEGUN = ("failed to connect to all addresses", "etcdserver: no leader")


class NotBegun(Unavailable):
    """Nobody took the request: it has not happened, and may be sent again."""


class Scope:
    """One swarm's keys within etcd: those that start with `root`."""

    def __init__(self, root: str) -> None:
        assert len(root.encode()) <= 64, root
        self._root = root.encode()

    def read(self, prefix: str, *, start: str, revision: int, limit: int) -> rpc_pb2.RangeRequest:
        """Ask for one page of what lies under `prefix`; `start` is the last key known, if any."""
        key, end = self._range(prefix)
        if start:
            key = self._key(start) + b"\0"
        return rpc_pb2.RangeRequest(key=key, range_end=end, revision=revision, limit=limit)

    def watch(self, prefix: str, *, start: int) -> rpc_pb2.WatchRequest:
        """Ask for what changes under `prefix` from revision `start` on."""
        key, end = self._range(prefix)
        return rpc_pb2.WatchRequest(
            create_request=rpc_pb2.WatchCreateRequest(
                key=key, range_end=end, start_revision=start, progress_notify=True
            )
        )

    def commit(self, commit: Commit) -> rpc_pb2.TxnRequest:
        """Ask for `commit`, or else for how the keys of its first compares stand."""
        return rpc_pb2.TxnRequest(
            compare=[self._compare(compare) for compare in commit.compares],
            success=[self._operation(operation) for operation in commit.operations],
            failure=[
                rpc_pb2.RequestOp(
                    request_range=rpc_pb2.RangeRequest(key=self._key(compare.key), keys_only=True)
                )
                for compare in commit.compares[:_EXPLAINED]
            ],
        )

    def conflict(self, commit: Commit, response: rpc_pb2.TxnResponse) -> Conflict:
        """Say which of the compares failed, as far as etcd told us."""
        answers = [[self.item(kv) for kv in op.response_range.kvs] for op in response.responses]
        failed = [
            compare.key
            for compare, items in zip(commit.compares, answers, strict=False)
            if not holds(compare, items[0] if items else None)
        ]
        names = ", ".join(failed) or f"one of {len(commit.compares)} keys"
        return Conflict(f"{names} changed meanwhile", hint="read again and decide again")

    def item(self, kv: KeyValue) -> Item:
        """Read one key with its value."""
        return Item(
            self._name(kv.key), kv.value, kv.mod_revision, kv.create_revision, LeaseId(kv.lease)
        )

    def batches(self, events: Sequence[Event], *, after: int) -> Iterator[Batch]:
        """Tell commits apart in a watch's answer; those up to `after` are known already."""
        for revision, group in groupby(events, key=lambda event: event.kv.mod_revision):
            if revision > after:
                yield Batch(revision, tuple(map(self._change, group)))

    def _change(self, event: Event) -> Change:
        kv = event.kv
        return Change(
            self._name(kv.key), kv.value if event.type == Event.PUT else None, kv.mod_revision
        )

    def _compare(self, compare: Compare) -> rpc_pb2.Compare:
        equal, key = rpc_pb2.Compare.EQUAL, self._key(compare.key)
        match compare:
            case Absent():
                target = rpc_pb2.Compare.CREATE
                return rpc_pb2.Compare(result=equal, target=target, key=key, create_revision=0)
            case Fence(create_revision=revision):
                target = rpc_pb2.Compare.CREATE
                return rpc_pb2.Compare(
                    result=equal, target=target, key=key, create_revision=revision
                )
            case Unchanged(mod_revision=revision):
                target = rpc_pb2.Compare.MOD
                return rpc_pb2.Compare(result=equal, target=target, key=key, mod_revision=revision)

    def _operation(self, operation: Operation) -> rpc_pb2.RequestOp:
        match operation:
            case Put(key=key, value=value, lease=lease):
                return rpc_pb2.RequestOp(
                    request_put=rpc_pb2.PutRequest(key=self._key(key), value=value, lease=lease)
                )
            case Delete(key=key):
                return rpc_pb2.RequestOp(
                    request_delete_range=rpc_pb2.DeleteRangeRequest(key=self._key(key))
                )
            case DeletePrefix(prefix=prefix):
                start, end = self._range(prefix)
                return rpc_pb2.RequestOp(
                    request_delete_range=rpc_pb2.DeleteRangeRequest(key=start, range_end=end)
                )

    def _key(self, name: str) -> bytes:
        return self._root + name.encode()

    def _name(self, key: bytes) -> str:
        return key[len(self._root) :].decode("utf-8", "replace")

    def _range(self, prefix: str) -> tuple[bytes, bytes]:
        start = self._key(prefix)
        return start or b"\0", end_of(start)


def end_of(prefix: bytes) -> bytes:
    """The first key after all that start with `prefix`; a zero byte means "no end"."""
    bounded = prefix.rstrip(b"\xff")
    return bounded[:-1] + bytes([bounded[-1] + 1]) if bounded else b"\0"


def translated(code: grpc.StatusCode, details: str) -> SwarmError:
    """Say in our terms why etcd said no; what we do not know counts as unavailable."""
    if "compacted" in details:
        return Compacted("the revision asked for is compacted", hint="list again")
    if "database space exceeded" in details:
        return Refused(
            "etcd's database is full",
            hint="compact and defragment it, then disarm the alarm with etcdctl alarm disarm",
        )
    if code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_BEGUN):
        return NotBegun(f"etcd does not answer: {details}", hint=_HINT)
    match code:
        case grpc.StatusCode.NOT_FOUND:
            return Missing(f"etcd does not know it: {details}")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return Invalid(f"etcd does not take it: {details}")
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return Refused(
                f"etcd refuses us: {details}",
                hint="use a manager's certificate or a permitted user",
            )
        case _:
            return Unavailable(f"etcd does not answer: {details or code.name}", hint=_HINT)
