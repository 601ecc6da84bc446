"""Keep commits within what etcd accepts in one transaction.

Only the caller knows what must be atomic. `split` cuts a commit that need not be into
commits that each carry every compare which can still hold: those on keys that the commit
itself writes travel with that write (after it they would be false), all others, the fence
among them, are repeated on each part. A prefix of the parts may be committed when a later
one fails; whoever decided will see that and decide again.
"""

from bisect import bisect_left
from collections.abc import Iterator

from manager.store import Commit, Compare, DeletePrefix, Limits, Operation, Put
from swarm.errors import Invalid

OWN_ETCD = Limits(operations=10_000, bytes=16 << 20)
EXTERNAL_ETCD = Limits(operations=128, bytes=3 << 19)

# Field tags, lengths, revisions, a lease and the swarm's prefix: more than any of them needs.
_OVERHEAD_BYTES = 128


def check(commit: Commit, limits: Limits) -> None:
    """Raise `Invalid`, naming every fault, when etcd would not take `commit`."""
    problems = tuple(_problems(commit, limits))
    if problems:
        raise Invalid(
            problems[0],
            hint="split the group, or raise --max-txn-ops and --max-request-bytes of etcd"
            if _exceeds(commit, limits)
            else "",
            problems=problems,
        )


def split(commit: Commit, limits: Limits) -> tuple[Commit, ...]:
    """Cut `commit` into parts that fit, in order; a commit that fits stays whole."""
    if not _exceeds(commit, limits):
        return (commit,)
    own = _own_compares(commit)
    taken = {id(compare) for compares in own for compare in compares}
    shared = tuple(compare for compare in commit.compares if id(compare) not in taken)
    shared_bytes = sum(map(_compare_bytes, shared))
    parts: list[Commit] = []
    compares, operations, room = list(shared), list[Operation](), limits.bytes - shared_bytes
    for operation, with_it in zip(commit.operations, own, strict=True):
        needed = _operation_bytes(operation) + sum(map(_compare_bytes, with_it))
        full = (
            len(operations) + 1 > limits.operations
            or len(compares) + len(with_it) > limits.operations
            or needed > room
        )
        if full and operations:
            parts.append(Commit(tuple(compares), tuple(operations)))
            compares, operations, room = list(shared), [], limits.bytes - shared_bytes
        compares += with_it
        operations.append(operation)
        room -= needed
    parts.append(Commit(tuple(compares), tuple(operations)))
    return tuple(parts)


def size_bytes(commit: Commit) -> int:
    """What `commit` takes on the wire, at most."""
    return sum(map(_compare_bytes, commit.compares)) + sum(map(_operation_bytes, commit.operations))


def _own_compares(commit: Commit) -> list[tuple[Compare, ...]]:
    by_key: dict[str, list[Compare]] = {}
    for compare in commit.compares:
        by_key.setdefault(compare.key, []).append(compare)
    own: list[tuple[Compare, ...]] = []
    for operation in commit.operations:
        target = _target(operation)
        keys = [target]
        if isinstance(operation, DeletePrefix):
            keys = [key for key in by_key if key.startswith(target)]
        own.append(tuple(compare for key in keys for compare in by_key.pop(key, ())))
    return own


def _exceeds(commit: Commit, limits: Limits) -> bool:
    return (
        max(len(commit.compares), len(commit.operations)) > limits.operations
        or size_bytes(commit) > limits.bytes
    )


def _problems(commit: Commit, limits: Limits) -> Iterator[str]:
    for what, count in (
        ("operations", len(commit.operations)),
        ("compares", len(commit.compares)),
    ):
        if count > limits.operations:
            yield f"{what}: {count} in one group, etcd takes {limits.operations}"
    size = size_bytes(commit)
    if size > limits.bytes:
        yield f"operations: {size} bytes in one group, etcd takes {limits.bytes}"
    puts: set[str] = set()
    for index, operation in enumerate(commit.operations):
        key = _target(operation)
        if not key:
            yield f"operations[{index}]: the key must not be empty"
        if isinstance(operation, Put):
            if key in puts:
                yield f"operations[{index}]: {key} is put twice"
            puts.add(key)
    yield from _overlaps(commit, sorted(puts))


def _overlaps(commit: Commit, puts: list[str]) -> Iterator[str]:
    for index, operation in enumerate(commit.operations):
        if isinstance(operation, Put):
            continue
        key = _target(operation)
        at = bisect_left(puts, key)
        reaches = str.startswith if isinstance(operation, DeletePrefix) else str.__eq__
        if at < len(puts) and reaches(puts[at], key):
            yield f"operations[{index}]: {puts[at]} is put and deleted in one group"


def _target(operation: Operation) -> str:
    return operation.prefix if isinstance(operation, DeletePrefix) else operation.key


def _compare_bytes(compare: Compare) -> int:
    return len(compare.key.encode()) + _OVERHEAD_BYTES


def _operation_bytes(operation: Operation) -> int:
    value = operation.value if isinstance(operation, Put) else b""
    return len(_target(operation).encode()) + len(value) + _OVERHEAD_BYTES
