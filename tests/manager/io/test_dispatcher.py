import asyncio
import time
from collections.abc import Callable

import pytest
from msgspec import structs

from manager import layout
from manager.store import Commit, Put
from swarm.codec import pack
from swarm.dispatch import Goodbye, Heartbeat, Hello, NodeDescription, Snapshot, StatusBatch
from swarm.errors import Invalid, Refused, Unavailable
from swarm.ids import TaskId
from swarm.objects import Observation, Session
from swarm.states import NodeState, TaskState
from tests.manager.io.swarm import Agent, Swarm, idle, service, until
from tests.sim.fake_store import Fault

Tell = Callable[..., None]


def only_task(agent: Agent) -> TaskId:
    (task_id,) = agent.tasks
    return task_id


def test_a_nodes_description_becomes_its_nodes(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join("host-1")
        assert swarm.view.nodes[agent.node_id].description == agent.description

        agent.say(structs.replace(agent.description, images=()))

        await until(lambda: not swarm.view.nodes[agent.node_id].description.images)

    tell(story)


def test_an_agent_that_holds_what_it_should_is_not_sent_it_again(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service(replicas=3))
        await agent.disconnect()
        agent.heard.clear()

        welcome = await agent.connect(swarm.address)
        await swarm.run(service("other"))

        assert welcome.in_sync
        assert not [each for each in agent.heard if isinstance(each, Snapshot)]
        assert len(agent.tasks) == 4

    tell(story)


def test_an_agent_that_missed_something_is_sent_everything(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service(replicas=2))
        await agent.disconnect()
        await swarm.scale(service_id, 3)
        await until(lambda: len(swarm.view.tasks_on(agent.node_id)) == 3)

        welcome = await agent.connect(swarm.address)

        assert not welcome.in_sync
        await until(lambda: swarm.progress(service_id).running == 3)

    tell(story)


def test_a_repeated_batch_is_acknowledged_and_changes_nothing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service())
        await until(lambda: agent.acknowledged == 1)
        key = layout.observed_key(agent.node_id, only_task(agent))
        before = swarm.view.version(key)
        seen = Observation(task_id=only_task(agent), state=TaskState.RUNNING, at=1.0)

        for sequence in (2, 3):
            agent.say(StatusBatch(sequence=sequence, statuses=(seen,)))
        await until(lambda: agent.acknowledged == 3)

        assert swarm.view.version(key) == before

    tell(story)


def test_a_worker_cannot_report_anothers_task(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        honest = await swarm.join("honest")
        await swarm.run(service())
        liar = await swarm.join("liar")

        liar.report(only_task(honest), TaskState.FAILED)
        await until(lambda: liar.acknowledged == 1)

        task = swarm.view.tasks[only_task(honest)]
        assert swarm.view.state(task) is TaskState.RUNNING
        assert not swarm.view.observations_on(liar.node_id)

    tell(story)


def test_a_second_session_ends_the_first(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        first = await swarm.join()
        second = Agent(first.node_id, first.identity, "twin")
        swarm.agents.append(second)

        await second.connect(swarm.address)
        await until(lambda: first.error)

        assert isinstance(first.error, Refused)
        assert "newer session" in first.error.message
        assert second.is_connected
        assert swarm.view.node_state(first.node_id) is NodeState.READY

    tell(story)


def test_a_node_that_falls_silent_is_down_and_its_tasks_run_elsewhere(tell: Tell) -> None:
    """One of two hosts is cut off.

    1. Its agent beats no more; the connection itself stays open.
    2. Three periods later its session is over: it is down, and its tasks are replaced.
    3. When it comes back, it is told to stop them: they were replaced.
    """

    async def story(swarm: Swarm) -> None:
        silent = await swarm.join("silent")
        service_id = await swarm.run(service(replicas=2))
        lively = await swarm.join("lively")

        silent.fall_silent()
        await until(lambda: swarm.view.node_state(silent.node_id) is NodeState.DOWN)
        await until(lambda: len(lively.tasks) == 2 and swarm.progress(service_id).running == 2)
        await until(lambda: not silent.is_connected)
        await silent.connect(swarm.address)
        await until(lambda: swarm.progress(service_id).is_converged)

        assert all(each.is_terminal for each in silent.states.values())

    tell(story, heartbeat_s=0.2)


def test_what_a_busy_manager_has_not_read_yet_is_nobodys_silence(tell: Tell) -> None:
    """The loop is held up for longer than the three periods that end a session.

    1. Both agents are there, and what they send waits in their sockets.
    2. When the loop turns again, the deadline has passed and nothing was read.
    3. Nobody is lost: a whole beat of everyone arrives afterwards.
    """

    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(name) for name in ("host-1", "host-2")]

        time.sleep(0.8)

        beats = swarm.manager.mirror.metrics.messages.labels("received", "heartbeat")._value
        heard = beats.get()
        await until(lambda: beats.get() >= heard + 4)
        assert swarm.manager.mirror.metrics.expired._value.get() == 0
        assert all(agent.is_connected for agent in agents)

    tell(story, heartbeat_s=0.2)


def test_agents_that_come_together_are_all_let_in(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = await asyncio.gather(*(swarm.join(f"host-{number}") for number in range(12)))

        states = {swarm.view.node_state(agent.node_id) for agent in agents}

        assert states == {NodeState.READY}
        assert len({agent.node_id for agent in agents}) == 12

    tell(story)


def test_a_node_that_says_goodbye_is_down_at_once_and_replaced(tell: Tell) -> None:
    """A heartbeat is a minute here, so nothing that happens can be due to silence."""

    async def story(swarm: Swarm) -> None:
        leaving = await swarm.join("leaving")
        service_id = await swarm.run(service(replicas=2))
        staying = await swarm.join("staying")

        leaving.say(Goodbye())

        await until(lambda: swarm.view.node_state(leaving.node_id) is NodeState.DOWN)
        await until(lambda: len(staying.tasks) == 2 and swarm.progress(service_id).running == 2)
        await until(lambda: not leaving.is_connected)
        assert isinstance(leaving.error, Unavailable)
        assert swarm.manager.mirror.metrics.expired._value.get() == 0

    tell(story, heartbeat_s=60.0)


def test_a_goodbye_counts_even_when_the_stream_breaks_right_after_it(tell: Tell) -> None:
    """The store is away when the node leaves, and the agent does not wait for an answer."""

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        open_sessions = swarm.manager.dispatcher.sessions.open
        swarm.fake.fail_next("commit", Fault.UNAVAILABLE, Fault.UNAVAILABLE)

        agent.say(Goodbye())
        await until(lambda: agent.node_id not in open_sessions)
        await agent.disconnect()

        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.DOWN)

    tell(story, heartbeat_s=60.0)


def test_an_agent_that_restarts_in_time_loses_nothing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        other = await swarm.join("other")
        service_id = await swarm.run(service(replicas=2))
        tasks = {task.id for task in swarm.view.tasks_of(service_id).values()}

        await agent.disconnect()
        await until(lambda: agent.node_id not in swarm.manager.dispatcher.lines)
        assert swarm.view.node_state(agent.node_id) is NodeState.READY
        await agent.connect(swarm.address)

        assert swarm.view.tasks_of(service_id).keys() == tasks
        assert other.is_connected

    tell(story, heartbeat_s=60.0)


def test_an_agent_that_stays_away_is_down_after_three_heartbeats(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()

        await agent.disconnect()

        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.DOWN)

    tell(story, heartbeat_s=0.1)


def test_statuses_wait_for_a_store_that_is_away(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join(answer=idle)
        await swarm.create(service())
        await until(lambda: agent.tasks)

        swarm.fake.go_down()
        agent.report(only_task(agent), TaskState.RUNNING)
        await asyncio.sleep(0.3)
        assert agent.acknowledged == 0
        swarm.fake.come_up()

        await until(lambda: agent.acknowledged == 1)
        assert swarm.view.state(swarm.view.tasks[only_task(agent)]) is TaskState.RUNNING

    tell(story)


def test_a_session_begins_with_a_hello(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await agent.disconnect()
        rude = Agent(agent.node_id, agent.identity, "rude")
        rude._hello = Heartbeat  # type: ignore[method-assign]
        with pytest.raises(Invalid, match="first message"):
            await rude.connect(swarm.address)

        await agent.connect(swarm.address)
        agent.say(Hello())
        await until(lambda: agent.error)

        assert isinstance(agent.error, Invalid)

    tell(story)


def test_a_removed_node_is_cut_off_and_its_certificate_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.remove_node(agent.node_id, force=True)

        await until(lambda: agent.error)
        first, agent.error = agent.error, None
        with pytest.raises(Refused, match="not part of this swarm"):
            await agent.connect(swarm.address)

        assert isinstance(first, Refused)

    tell(story)


def test_a_stopping_manager_sends_its_agents_away_at_once(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for the goodbye to take too long, and so nothing is left to lapse."""
    monkeypatch.setattr("manager.io.process.GOODBYE_S", 50.0)

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()

        swarm.manager.stop()
        await until(lambda: agent.error, within_s=25.0)
        async with asyncio.timeout(25.0):
            await swarm.running

        assert isinstance(agent.error, Unavailable)
        assert not swarm.fake.list_now(layout.SESSIONS).items
        assert not swarm.fake.list_now(layout.LEADER).items

    tell(story)


def test_a_description_that_meets_a_conflict_is_stored_all_the_same(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        swarm.fake.fail_next("commit", Fault.CONFLICT, Fault.UNAVAILABLE)

        agent.say(NodeDescription(hostname="renamed"))

        await until(lambda: swarm.view.nodes[agent.node_id].description.hostname == "renamed")

    tell(story)


def test_a_session_of_ours_that_nobody_holds_does_not_last_for_ever(tell: Tell) -> None:
    """The commit that opened it was given up, and done after all; its agent went elsewhere."""

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await agent.disconnect()
        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.DOWN)
        late = Session(
            node_id=agent.node_id,
            manager_id=swarm.manager.config.node_id,
            session_id="late",
            since=1.0,
        )

        swarm.fake.apply(Commit((), (Put(layout.session_key(agent.node_id), pack(late)),)))
        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.READY)

        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.DOWN)

    tell(story)


def test_the_end_of_a_session_does_not_take_the_next_one_along(tell: Tell) -> None:
    """A node's next session is committed, but not registered yet, when its last one expires.

    1. The old session expires; the key, which is the new one's by now, stays.
    2. Nobody picks the new session up, so it expires as well, in its turn.
    """

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await agent.disconnect()
        old = swarm.view.sessions[agent.node_id]
        new = structs.replace(old, session_id="new")
        seen: list[str] = []
        swarm.manager.mirror.listen(
            lambda _: seen.append(
                swarm.view.sessions[agent.node_id].session_id
                if agent.node_id in swarm.view.sessions
                else ""
            )
        )

        swarm.fake.apply(Commit((), (Put(layout.session_key(agent.node_id), pack(new)),)))
        opened = swarm.manager.dispatcher.sessions.open
        await until(lambda: agent.node_id in opened and opened[agent.node_id].session_id == "new")

        assert "" not in seen
        await until(lambda: swarm.view.node_state(agent.node_id) is NodeState.DOWN)

    tell(story)
