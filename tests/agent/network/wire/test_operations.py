"""What refusals mean, and what an operator is told of them."""

import errno

import pytest

from agent.network.fields import address
from agent.network.kernel import (
    Address,
    Element,
    Forward,
    Link,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    Rule,
    Set,
    Table,
    Tunnel,
    TunnelPeer,
    Value,
    Veth,
    Vxlan,
)
from agent.network.wire import operations
from agent.network.wire.messages import Refusal

ROUTE = Route(destination="10.0.1.5/32", link="vx0", via="240.0.0.2")
RULE = Rule(mark=2, table=100, priority=1000)
EVERYTHING: list[tuple[Value, str]] = [
    (Link(name="lo"), "link lo"),
    (Veth(name="ep0", peer="eth0"), "link ep0"),
    (Vxlan(name="vx0", vni=1, port=4789, local="1.1.1.1"), "link vx0"),
    (Address(link="ep0", address="10.0.1.1/32"), "address 10.0.1.1/32 of ep0"),
    (ROUTE, "route 10.0.1.5/32 via 240.0.0.2 by vx0 in table 254"),
    (Neighbour(link="vx0", address="240.0.0.2", mac="02:00"), "neighbour 240.0.0.2 (02:00) of vx0"),
    (Forward(link="vx0", mac="02:00", vtep="1.1.1.2"), "forwarding of 02:00 to 1.1.1.2 by vx0"),
    (RULE, "rule 1000: mark 0x2 to table 100"),
    (Table("swarm"), "table inet swarm"),
    (
        Element(of=Set(Table("swarm"), "vips"), key=address("10.0.1.5")),
        "element 0a000105 of set vips of table inet swarm",
    ),
    (Tunnel(link="wg0", private_key=bytes(32), port=1), "tunnel wg0"),
    (TunnelPeer(link="wg0", public_key=b"\1", endpoint="1.1.1.2"), "peer 1.1.1.2 of tunnel wg0"),
]


@pytest.mark.parametrize(("value", "words"), EVERYTHING)
def test_everything_has_words(value: Value, words: str) -> None:
    assert operations.described(value) == words


@pytest.mark.parametrize(
    ("operation", "number", "is_done"),
    [
        (Remove(ROUTE), errno.ESRCH, True),
        (Remove(ROUTE), errno.EPERM, False),
        (Put(ROUTE), errno.ESRCH, False),
        (Put(RULE), errno.EEXIST, True),
        (Put(ROUTE), errno.EEXIST, False),
        (Remove(RULE), errno.ENOENT, True),
        (Remove(Link(name="lo")), errno.ENODEV, True),
        (Remove(Link(name="lo")), errno.EOPNOTSUPP, False),
    ],
)
def test_to_have_nothing_to_do_is_no_failure(
    operation: Operation, number: int, is_done: bool
) -> None:
    assert operations.is_done(operation, Refusal(number)) is is_done


def test_a_failure_names_the_operation_the_reason_and_the_remedy() -> None:
    why = Refusal(errno.EPERM, "no rights")

    failure = operations.refused(Put(ROUTE), why, "Operation not permitted")

    assert failure.step == "put route"
    assert failure.errno == errno.EPERM
    assert failure.message == (
        "the kernel refused to put route 10.0.1.5/32 via 240.0.0.2 by vx0 in table 254: "
        "Operation not permitted (no rights)"
    )
    assert failure.hint == "swarmd must run as root, with CAP_NET_ADMIN"
