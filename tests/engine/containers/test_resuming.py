"""Where streams go on that broke off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.containers.resuming import LogPlace, rest_of_wait
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2

LOG = pb.ReadContainerLogsRequest(container="web", follow=True, tail=2, stdout=True)


def line(at: float, text: str = "") -> control_pb2.LogLine:
    return control_pb2.LogLine(at=at, data=text.encode())


@given(st.lists(st.integers(1, 3)), st.data())
def test_law_every_line_is_read_once_wherever_it_broke_off(
    steps: list[int], data: st.DataObject
) -> None:
    """Some lines have the same time."""
    log = [line(sum(steps[:n]) // 2 + 1.0, str(n)) for n in range(len(steps))]
    broken = data.draw(st.integers(0, len(log)))
    again = data.draw(st.integers(broken, len(log)))
    place = LogPlace(began_at=0.5)

    read = place.unread(log[:broken])
    for end in (again, len(log)):
        asked = place.rest(LOG)
        assert asked.tail == -1
        read += place.unread(each for each in log[:end] if each.at >= asked.since)

    assert [each.data for each in read] == [each.data for each in log]


def test_what_was_to_come_only_is_what_came_since() -> None:
    asked = LogPlace(began_at=5.0).rest(pb.ReadContainerLogsRequest(container="web", tail=0))

    assert (asked.since, asked.tail, asked.container) == (5.0, -1, "web")


@pytest.mark.parametrize(
    ("state", "finished_at", "condition", "then"),
    [
        (pb.CONTAINER_STATE_EXITED, 7.0, pb.WAIT_CONDITION_NEXT_EXIT, 0),
        (pb.CONTAINER_STATE_EXITED, 3.0, pb.WAIT_CONDITION_NEXT_EXIT, 1),
        (pb.CONTAINER_STATE_RUNNING, 7.0, pb.WAIT_CONDITION_NEXT_EXIT, 1),
        (pb.CONTAINER_STATE_EXITED, 7.0, pb.WAIT_CONDITION_REMOVED, 2),
        (pb.CONTAINER_STATE_EXITED, 7.0, pb.WAIT_CONDITION_NOT_RUNNING, 0),
    ],
)
def test_an_end_that_came_while_nobody_listened_is_the_next_one(
    state: pb.ContainerState.ValueType,
    finished_at: float,
    condition: pb.WaitCondition.ValueType,
    then: int,
) -> None:
    view = pb.ContainerView(state=state, finished_at=finished_at)

    asked = rest_of_wait(
        pb.WaitContainerRequest(container="web", condition=condition), view, began_at=5.0
    )

    assert (asked.container, asked.condition) == ("web", then)
