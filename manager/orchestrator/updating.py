"""Roll a new version out, a few replicas at a time.

Whoever is between two attempts, not up yet or failing takes one of the `parallelism` places
until it is up: so a version that does not come up stops its own rollout after that many
replicas. Replicas without a running attempt go first, because nothing is lost with them.
A replica that never had a node takes no place; neither does one whose node is down.
"""

from collections.abc import Sequence

from manager.orchestrator.attempts import Phase
from manager.orchestrator.draft import Draft
from manager.orchestrator.replicas import Settled, Standing, reopen
from swarm.ids import NodeId
from swarm.specs import UpdatePolicy
from swarm.states import TaskState


def roll(settled: Sequence[Settled], policy: UpdatePolicy, draft: Draft, *, now: float) -> None:
    """Replace as many replicas of earlier versions as may be replaced now."""
    old = [each for each in settled if each.standing is Standing.OLD]
    if not old:
        return
    moving = sum(each.standing is Standing.MOVING for each in settled)
    places = (policy.parallelism or len(settled)) - moving
    if places <= 0:
        return
    ready_at = max((each.up_since for each in settled), default=0.0) + policy.delay_s
    if policy.delay_s > 0 and now < ready_at:
        draft.wake(ready_at)
        return
    for each in sorted(old, key=_least_loss_first)[:places]:
        reopen(each, draft)


def _least_loss_first(settled: Settled) -> tuple[bool, bool, int, NodeId]:
    holder = settled.holder
    assert holder is not None
    is_running = holder.phase is Phase.LIVE and holder.state is TaskState.RUNNING
    return is_running, holder.unsure, settled.replica.slot, settled.replica.node_id
