"""What the agent and the service tell each other survives being cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dns.counts import Counts, Tally
from agent.dns.link import (
    Count,
    Counted,
    Frames,
    Keep,
    Leave,
    Order,
    Release,
    Report,
    Serve,
    Take,
    Welcome,
    encode,
)
from swarm.errors import Invalid
from swarm.ids import NetworkId, TaskId
from tests.agent.dns.records import asker, endpoint, network, service, topology

TOPOLOGY = topology(network(), service(), endpoint("t1", "10.0.0.5"), removed=("network/x",))
ORDERS: tuple[Order, ...] = (
    Take(TOPOLOGY),
    Serve(asker("n1", servers=("1.1.1.1",), hostname="box")),
    Release(TaskId("t1")),
    Keep((TaskId("t1"), TaskId("t2"))),
    Count(),
    Leave(),
)
REPORTS: tuple[Report, ...] = (
    Welcome(protocol="1", version="2", pid=3, askers=(asker(),)),
    Counted(networks={NetworkId("n1"): Counts(queries=3)}, names={NetworkId("n1"): "back"}),
)


@given(st.lists(st.sampled_from(ORDERS)), st.lists(st.integers(1, 50)))
def test_law_orders_arrive_as_they_were_given(orders: list[Order], cuts: list[int]) -> None:
    stream, frames, got = b"".join(map(encode, orders)), Frames(), list[Order]()

    for cut in cuts:
        got += frames.orders(stream[:cut])
        stream = stream[cut:]
    got += frames.orders(stream)

    assert got == orders


def test_reports_arrive() -> None:
    assert tuple(Frames().reports(b"".join(map(encode, REPORTS)))) == REPORTS


@pytest.mark.parametrize("noise", [b"\xff" * 8, b"\0\0\0\2{}", b"\0\0\0\1x"])
def test_what_cannot_be_read_is_refused(noise: bytes) -> None:
    with pytest.raises(Invalid, match="message"):
        list(Frames().orders(noise))


def test_counts_add_up_by_network() -> None:
    tally = Tally()
    tally.add(NetworkId("n1"), queries=1, forwarded=1)
    tally.add(NetworkId("n1"), failures=1)
    tally.add(NetworkId("n2"), queries=1, kept=1)

    assert tally.counts() == {
        "n1": Counts(queries=1, forwarded=1, failures=1),
        "n2": Counts(queries=1, kept=1),
    }
