"""Measure what planning a large job costs: all of it, and one plan at the beginning and the end.

The planners run over a view in memory, as the leader's do; agents are replaced by reports. What
is measured is time in the planner and in the view, and how many tasks there ever are at once.

    python -m benchmarks.jobs [SLOTS] [AT_ONCE]
"""

import sys
import time

from manager.orchestrator.planning import plan_service
from swarm.ids import ServiceId
from swarm.specs import ReplicatedJob, RestartCondition, RestartPolicy, TaskSpec
from swarm.states import RunState, TaskState
from tests.manager.orchestrator.driving import Driven

JOB = ServiceId("s-job")


def main() -> None:
    slots = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    world = Driven()
    world.nodes(100)
    policy = RestartPolicy(condition=RestartCondition.ON_FAILURE)
    mode = ReplicatedJob(total=slots, max_concurrent=at_once)
    world.service("job", mode=mode, task=TaskSpec(restart=policy))
    spent, plans, most = 0.0, 0, 0
    costs: list[float] = []
    began = time.perf_counter()
    while not world.view.ledgers or world.view.ledgers[JOB].runs[0].state is RunState.RUNNING:
        start = time.perf_counter()
        plan = plan_service(world.view, JOB, fleet=world.fleet, now=world.now)
        costs.append(time.perf_counter() - start)
        world._commit(plan)
        spent, plans = spent + costs[-1], plans + 1
        most = max(most, len(world.view.tasks))
        for task in list(world.view.tasks_of(JOB).values()):
            if task.node_id and not world.view.state(task).is_terminal:
                world.report(task, TaskState.COMPLETE)
        world.now += 1.0
    print(f"{slots} slots, {at_once} at once: {plans} plans in {spent:.1f} s")
    print(f"a plan: first {costs[0] * 1e3:.1f} ms, last full one {costs[-2] * 1e3:.1f} ms")
    print(f"planning a completion: {spent / slots * 1e6:.0f} us; tasks at once: {most} at most")
    print(f"with the view, codec and this benchmark: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
