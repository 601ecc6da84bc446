import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from manager import layout
from manager.io.leader import Leader
from manager.store import Commit, Delete, Put
from swarm.api.v1 import control_pb2
from swarm.codec import pack
from swarm.errors import Conflict, Unavailable
from swarm.ids import TaskId
from swarm.objects import Observation
from swarm.specs import RestartPolicy
from swarm.states import NodeState, TaskState
from tests.manager.io.swarm import Swarm, found_swarm, service, swarming, until
from tests.sim.fake_store import FakeStore, Fault

Tell = Callable[..., None]


def restarted_at_once(**fields: int):
    spec = service(**fields)
    return structs.replace(
        spec, task=structs.replace(spec.task, restart=RestartPolicy(delay_s=0.0))
    )


def test_a_killed_task_is_replaced_within_milliseconds(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(restarted_at_once(replicas=20))
        took = list[float]()

        for task in list(agent.tasks):  # one is enough, on a machine that does other things too
            known, began = set(agent.tasks), time.perf_counter()
            agent.report(task, TaskState.FAILED, exit_code=137)
            await until(lambda known=known: agent.tasks.keys() - known)
            took.append(time.perf_counter() - began)
            assert agent.states[task] is TaskState.FAILED
            if took[-1] < 0.1:
                break
            await until(lambda: swarm.progress(service_id).is_converged)

        print("replacement dispatched after", took)
        assert min(took) < 0.1

    tell(story)


def test_a_restart_delay_is_waited_for_and_no_longer(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        spec = service()
        policy = RestartPolicy(delay_s=0.3)
        spec = structs.replace(spec, task=structs.replace(spec.task, restart=policy))
        await swarm.run(spec)
        (first,) = agent.tasks

        began = time.time()
        agent.report(first, TaskState.FAILED)
        await until(lambda: len(agent.tasks) == 2)

        assert 0.28 < time.time() - began < RestartPolicy().delay_s

    tell(story)


def test_conflicts_and_lost_answers_do_not_change_the_outcome(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service(replicas=1))

        for fault in (Fault.CONFLICT, Fault.LOST_ANSWER, Fault.UNAVAILABLE):
            wanted = swarm.progress(service_id).wanted + 5
            await swarm.scale(service_id, wanted)
            swarm.fake.fail_next("commit", fault)
            await until(lambda: swarm.progress(service_id).is_converged)
            assert len([t for t in agent.tasks.values() if t.task.desired < 600]) == wanted

    tell(story)


def test_a_plan_that_got_no_answer_does_not_happen_after_the_next_one(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by seed 21343 of the simulation: two tasks got the same port of a host.

    1. A commit that places tasks is given up while it is still on its way.
    2. The leader places another service's tasks in the room that it thinks is left.
    3. The first commit arrives. Nothing that it compares has changed, but the room is taken.
    """

    async def story(swarm: Swarm) -> None:
        await swarm.join()
        late: list[Commit] = []
        commit = swarm.fake.commit

        async def slow(asked: Commit) -> int:
            if not late and any(each.key.startswith(layout.TASKS) for each in puts(asked)):
                late.append(asked)
                raise Unavailable("no answer")
            return await commit(asked)

        with monkeypatch.context() as patch:
            patch.setattr(swarm.fake, "commit", slow)
            await swarm.run(service(replicas=1))
        assert late

        with pytest.raises(Conflict, match=layout.LEADER):
            swarm.fake.apply(late[0])

    tell(story)


def puts(commit: Commit) -> list[Put]:
    return [each for each in commit.operations if isinstance(each, Put)]


def test_a_deposed_leader_changes_nothing_any_more(tell: Tell) -> None:
    """Someone else becomes the leader while we do not look.

    1. The election key is made anew, by another manager.
    2. Our next commit fails by its fence, whatever we have heard by then.
    3. Once we have, changes are refused as unavailable or passed on.
    """

    async def story(swarm: Swarm) -> None:
        await swarm.join()
        leader: Leader = swarm.manager.leader
        fence_of_before = leader._fence
        assert fence_of_before is not None
        swarm.fake.apply(Commit((), (Delete(layout.LEADER),)))
        swarm.fake.apply(Commit((), (Put(layout.LEADER, b"someone else"),)))
        leader._fence = fence_of_before

        with pytest.raises(Unavailable):
            await swarm.create(service())

        assert not swarm.fake.list_now(layout.SERVICES).items

    tell(story)


def test_reports_of_tasks_that_are_no_more_are_tidied_up(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        stray = layout.observed_key(agent.node_id, "no-such-task")

        seen = Observation(task_id=TaskId("no-such-task"), state=TaskState.RUNNING)
        await swarm.store.commit(Commit((), (Put(stray, pack(seen)),)))

        await until(lambda: not swarm.fake.list_now(stray).items)

    tell(story)


def test_a_manager_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    """The manager is killed under a running service.

    1. Two agents run four tasks; the manager dies without a word.
    2. One agent finds the next process; the other one stays away.
    3. Nothing is restarted; the silent node is down only after its three heartbeats, and
       what ran there is replaced.
    """

    async def main() -> None:
        store, members = FakeStore(), found_swarm(tmp_path)
        async with asyncio.timeout(60), swarming(store, members) as first:
            stays = await first.join("stays")
            leaves = await first.join("leaves")
            service_id = await first.run(service(replicas=4))
            before = set(first.view.tasks_of(service_id))
            await first.kill()
            await leaves.disconnect()

            async with swarming(store, members, is_new=False) as second:
                assert second.view.node_state(leaves.node_id) is NodeState.READY
                welcome = await stays.connect(second.address)
                assert welcome.in_sync
                assert set(second.view.tasks_of(service_id)) == before

                await until(lambda: second.view.node_state(leaves.node_id) is NodeState.DOWN)
                await until(lambda: second.progress(service_id).running == 4)
                kept = before & set(stays.tasks)
                assert len(stays.tasks) == 4
                assert len(kept) == 2
                await second.scale(service_id, 6)
                await until(lambda: second.progress(service_id).running == 6)

    asyncio.run(main())


def test_specs_that_a_crash_left_behind_are_removed_by_the_next_leader(tmp_path: Path) -> None:
    async def main() -> None:
        store, members = FakeStore(), found_swarm(tmp_path)
        async with asyncio.timeout(60), swarming(store, members) as first:
            created = await first.create(service(replicas=0))
            service_id = created.service.service.id
            await first.kill()
            name = layout.name_key("service", "web")
            store.apply(Commit((), (Delete(layout.service_key(service_id)), Delete(name))))
            assert store.list_now(layout.VERSIONS).items

            async with swarming(store, members, is_new=False):
                await until(lambda: not store.list_now(layout.VERSIONS).items)

    asyncio.run(main())


def test_a_service_that_cannot_be_planned_does_not_stop_the_others(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(swarm: Swarm) -> None:
        from manager.io import leader as module

        plan = module.plan_service

        def broken(view, service_id, **rest):
            assert view.services[service_id].spec.name != "broken", "a bug"
            return plan(view, service_id, **rest)

        monkeypatch.setattr(module, "plan_service", broken)
        await swarm.join()
        await swarm.create(service("broken"))
        await swarm.run(service("whole"))

        assert await swarm.call("GetCluster", control_pb2.GetClusterRequest())

    tell(story)
