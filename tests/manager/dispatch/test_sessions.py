import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.dispatch.sessions import RETURN_S, Sessions, heartbeat_period
from swarm.ids import NodeId

N1, N2 = NodeId("n1"), NodeId("n2")


def begun(*nodes: NodeId, now: float = 0.0) -> Sessions:
    sessions = Sessions()
    for node_id in nodes:
        sessions.begin(node_id, f"of-{node_id}", heartbeat_s=1.0, now=now)
    return sessions


def test_three_silent_heartbeats_end_a_session() -> None:
    sessions = begun(N1)

    assert sessions.expired(now=2.9) == ()
    assert sessions.expired(now=3.0) == ((N1, "of-n1"),)
    assert not sessions.open


def test_a_goodbye_ends_a_session_at_once_and_for_good() -> None:
    sessions = begun(N1, N2)

    sessions.left(N1, "of-n1", now=1.0)

    assert sessions.next_deadline() == 1.0
    assert not sessions.heard(N1, "of-n1", now=1.0)
    assert sessions.departed() == ((N1, "of-n1"),)
    assert sessions.departed() == ()
    assert sessions.expired(now=1.0) == ()
    assert sessions.open.keys() == {N2}


def test_a_goodbye_of_an_older_session_ends_nothing() -> None:
    sessions = begun(N1)
    sessions.begin(N1, "newer", heartbeat_s=1.0, now=0.5)

    sessions.left(N1, "of-n1", now=1.0)

    assert sessions.departed() == ()
    assert sessions.heard(N1, "newer", now=1.0)


def test_any_message_is_a_sign_of_life() -> None:
    sessions = begun(N1)

    assert sessions.heard(N1, "of-n1", now=2.0)

    assert sessions.expired(now=4.9) == ()
    assert sessions.next_deadline() == 5.0


def test_an_agent_that_restarts_in_time_was_never_gone() -> None:
    sessions = begun(N1)
    sessions.disconnected(N1, "of-n1", now=0.0)

    superseded = sessions.begin(N1, "again", heartbeat_s=1.0, now=2.0)

    assert superseded == ""
    assert sessions.expired(now=4.9) == ()


def test_an_agent_whose_stream_ended_has_the_time_to_start_again() -> None:
    sessions = begun(N1)
    sessions.disconnected(N1, "of-n1", now=1.0)

    assert sessions.expired(now=5.4) == ()
    assert sessions.expired(now=5.5) == ((N1, "of-n1"),)


def test_who_said_goodbye_is_gone_when_its_stream_ends() -> None:
    sessions = begun(N1)
    sessions.left(N1, "of-n1", now=1.0)
    sessions.disconnected(N1, "of-n1", now=1.0)

    assert sessions.next_deadline() == 1.0


def test_a_newer_session_supersedes_the_older_one() -> None:
    sessions = begun(N1)

    superseded = sessions.begin(N1, "newer", heartbeat_s=1.0, now=1.0)

    assert superseded == "of-n1"
    assert not sessions.heard(N1, "of-n1", now=2.0)
    assert sessions.heard(N1, "newer", now=2.0)


def test_the_end_of_the_older_stream_does_not_touch_the_newer_session() -> None:
    sessions = begun(N1)
    sessions.begin(N1, "newer", heartbeat_s=1.0, now=1.0)

    sessions.disconnected(N1, "of-n1", now=1.0)
    sessions.end(N1, "of-n1")

    assert sessions.open[N1].is_connected


def test_inherited_sessions_have_a_full_time_to_return() -> None:
    sessions = Sessions()
    sessions.inherit(N1, "from-before", heartbeat_s=1.0, now=10.0)

    assert sessions.expired(now=12.9) == ()
    assert sessions.expired(now=13.0) == ((N1, "from-before"),)


def test_our_own_sleep_is_no_evidence_against_anyone() -> None:
    """The manager's host is suspended for a minute.

    1. Both agents are heard until then.
    2. A turn of the loop took a minute: nobody can have been heard meanwhile.
    3. Only who stays silent from then on, for all of three periods, is lost.
    """
    sessions = begun(N1, N2)

    sessions.deaf(59.0, now=60.0)
    assert sessions.expired(now=62.9) == ()

    sessions.heard(N2, "of-n2", now=62.0)
    assert sessions.expired(now=63.0) == ((N1, "of-n1"),)


def test_silence_counts_only_while_we_listen() -> None:
    """A manager that is busy with a large plan reads what arrives late.

    1. For two of the three seconds it did not read anything.
    2. When the deadline would have been, only one second of silence is certain.
    3. Those who say nothing in the two seconds that are missing are lost, the others are not.
    """
    sessions = begun(N1, N2)

    sessions.deaf(1.25, now=1.5)
    sessions.deaf(0.75, now=3.0)

    assert sessions.expired(now=3.0) == ()
    assert sessions.heard(N2, "of-n2", now=4.0)
    assert sessions.expired(now=4.9) == ()
    assert sessions.expired(now=5.0) == ((N1, "of-n1"),)


def test_who_waits_for_us_is_not_silent() -> None:
    sessions = begun(N1)

    sessions.delayed(N1, "of-n1")

    assert sessions.expired(now=60.0) == ()
    assert sessions.heard(N1, "of-n1", now=60.0)
    assert sessions.expired(now=63.0) == ((N1, "of-n1"),)


def test_a_goodbye_counts_at_once_however_deaf_we_were() -> None:
    sessions = begun(N1)
    sessions.left(N1, "of-n1", now=1.0)

    sessions.deaf(2.0, now=3.0)
    sessions.delayed(N1, "of-n1")

    assert sessions.next_deadline() == 1.0
    assert sessions.departed() == ((N1, "of-n1"),)


@pytest.mark.parametrize(("nodes", "period"), [(4, 1.0), (1000, 1.0), (5000, 5.0)])
def test_heartbeats_slow_down_for_large_clusters(nodes: int, period: float) -> None:
    assert heartbeat_period(1.0, nodes) == period


steps = st.tuples(
    st.sampled_from(["begin", "heard", "disconnected", "deaf", "tick"]),
    st.sampled_from([N1, N2]),
    st.floats(0, 2),
)


@given(st.lists(steps, max_size=50))
def test_law_nobody_is_lost_before_we_listened_in_vain_for_three_periods(
    story: list[tuple[str, NodeId, float]],
) -> None:
    sessions, now, heard = Sessions(), 0.0, dict[NodeId, float]()
    deaf, ended = dict[NodeId, float](), dict[NodeId, float]()

    for number, (action, node_id, passed) in enumerate(story):
        now += passed
        found = sessions.open.get(node_id)
        if action == "begin":
            sessions.begin(node_id, f"s{number}", heartbeat_s=1.0, now=now)
            heard[node_id], deaf[node_id] = now, 0.0
            ended.pop(node_id, None)
        elif action == "heard" and found and sessions.heard(node_id, found.session_id, now=now):
            heard[node_id], deaf[node_id] = now, 0.0
            ended.pop(node_id, None)
        elif action == "disconnected" and found:
            sessions.disconnected(node_id, found.session_id, now=now)
            ended[node_id] = now
        elif action == "tick":
            for lost, _ in sessions.expired(now=now):
                assert now - heard[lost] - deaf[lost] >= 3.0 - 1e-6
                assert now - ended.pop(lost, -math.inf) >= RETURN_S - 1e-6
        elif action == "deaf":
            sessions.deaf(passed, now=now)
            deaf = {each: lag_s + passed for each, lag_s in deaf.items()}
        sessions.check()
