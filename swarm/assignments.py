"""Compare what an agent holds with what it should hold, without sending it.

Both sides compute the digest of the same set: each assigned task with the etcd revision of
its last change. When an agent reconnects and the digests agree, nothing is resent.
"""

from collections.abc import Mapping
from hashlib import sha256

from swarm.ids import TaskId


def digest(assignments: Mapping[TaskId, int]) -> str:
    """Summarise `assignments` (task to revision) independently of their order."""
    lines = (f"{task_id} {revision}\n" for task_id, revision in sorted(assignments.items()))
    return sha256("".join(lines).encode()).hexdigest()
