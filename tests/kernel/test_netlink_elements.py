"""Sets and maps changed element by element, as nft then shows them; also without DESTROY."""

import errno
import itertools
import json
import os
import random
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.fields import DROP, address, goto, joined, link, mac, mark, port, protocol
from agent.network.io import nft
from agent.network.io.netlink import Socket
from agent.network.kernel import Element, Family, Put, Remove, Set, Table
from agent.network.wire.rewriting import TABLE as RESOLVER_TABLE
from agent.network.wire.rewriting import redirect
from swarm.errors import KernelRefused, Refused
from tests.kernel.netlink_lab import Place, places

pytestmark = pytest.mark.kernel

TABLE = Table("swarm")
RULESET = """
table inet swarm {
  chain c16 { }
  map slots { type ipv4_addr . mark : ipv4_addr; }
  map vips { type ipv4_addr : verdict; counter; }
  map six { type ipv6_addr . mark : ipv6_addr; }
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map marks { type ether_addr : mark; }
  set own { type ipv4_addr . ipv4_addr; }
  set links { type ifname; }
  chain pre { type filter hook output priority 0; ip daddr vmap @vips; }
}
table netdev swarm { map nodes { type mark : ether_addr; }; }
"""
NODES = Set(Table("swarm", Family.NETDEV), "nodes")


def of(name: str) -> Set:
    return Set(TABLE, name)


def slot(number: int, backend: str = "10.0.1.9") -> Element:
    key = joined(address("10.0.1.5"), mark(number))
    return Element(of=of("slots"), key=key, data=address(backend))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with places(tmp_path / "netns", "router") as (made,):
        nft.load(RULESET, made.netns)
        yield made


@pytest.fixture(params=[None, False], ids=["destroy", "no-destroy"])
def socket(place: Place, request: pytest.FixtureRequest) -> Iterator[Socket]:
    """With what this kernel has, and as on one before 6.3."""
    with Socket(place.netns, has_destroy=request.param) as made:
        yield made


def shown(place: Place, name: str, family: str = "inet", kind: str = "map") -> list[object]:
    """The elements of a map or set, as nft writes them in JSON."""
    listed = place.run("nft", "-j", "list", kind, family, "swarm", name)
    return next(each[kind] for each in json.loads(listed)["nftables"] if kind in each).get(
        "elem", []
    )


def test_nft_shows_what_was_put(place: Place, socket: Socket) -> None:
    socket.apply(
        [
            Put(slot(3, "10.0.1.9")),
            Put(Element(of=of("vips"), key=address("10.0.1.5"), data=goto("c16"))),
            Put(Element(of=of("vips"), key=address("10.0.1.6"), data=DROP)),
            Put(
                Element(
                    of=of("six"),
                    key=joined(address("fd00::5"), mark(1)),
                    data=address("fd00::9"),
                )
            ),
            Put(
                Element(
                    of=of("ports"),
                    key=joined(protocol("tcp"), port(8080)),
                    data=joined(address("10.0.1.9"), port(80)),
                )
            ),
            Put(Element(of=of("marks"), key=mac("02:53:57:00:00:02"), data=mark(2))),
            Put(Element(of=of("own"), key=joined(address("10.0.1.9"), address("10.0.1.9")))),
            Put(Element(of=of("links"), key=link("vx0"))),
            Put(Element(of=NODES, key=mark(2), data=mac("02:53:57:00:00:02"))),
        ]
    )

    assert shown(place, "slots") == [[{"concat": ["10.0.1.5", 3]}, "10.0.1.9"]]
    assert ["10.0.1.6", {"drop": None}] in [
        [each[0]["elem"]["val"], each[1]]  # type: ignore[index]
        for each in shown(place, "vips")
    ]
    assert shown(place, "six") == [[{"concat": ["fd00::5", 1]}, "fd00::9"]]
    assert shown(place, "ports") == [[{"concat": ["tcp", 8080]}, {"concat": ["10.0.1.9", 80]}]]
    assert shown(place, "marks") == [["02:53:57:00:00:02", 2]]
    assert shown(place, "own", kind="set") == [{"concat": ["10.0.1.9", "10.0.1.9"]}]
    assert shown(place, "links", kind="set") == ["vx0"]
    assert shown(place, "nodes", "netdev") == [[2, "02:53:57:00:00:02"]]


def test_what_nft_put_is_read_by_the_same_words(place: Place, socket: Socket) -> None:
    place.nft(
        "add element inet swarm slots { 10.0.1.5 . 3 : 10.0.1.9 }\n"
        "add element inet swarm vips { 10.0.1.5 : goto c16, 10.0.1.6 : drop }\n"
        "add element inet swarm ports { sctp . 8080 : 10.0.1.9 . 80 }\n"
        'add element inet swarm links { "vx0" }\n'
    )

    assert socket.elements(of("slots")) == [slot(3, "10.0.1.9")]
    assert {each.key: each.data for each in socket.elements(of("vips"))} == {
        address("10.0.1.5"): goto("c16"),
        address("10.0.1.6"): DROP,
    }
    (forwarded,) = socket.elements(of("ports"))
    assert forwarded.key == joined(protocol("sctp"), port(8080))
    assert forwarded.data == joined(address("10.0.1.9"), port(80))
    assert [each.key for each in socket.elements(of("links"))] == [link("vx0")]
    assert socket.elements(of("no-such-set")) == []
    assert set(socket.tables()) == {TABLE, NODES.table}


def test_elements_are_replaced_and_removed_however_often(place: Place, socket: Socket) -> None:
    for backend in ("10.0.1.9", "10.0.1.9", "10.0.1.10"):
        slots = [slot(number, backend) for number in range(16)]
        socket.apply(map(Put, slots))
        assert sorted(socket.elements(of("slots")), key=lambda each: each.key) == slots

    for _ in range(2):
        socket.apply([Remove(slot(number)) for number in range(8)])
        assert len(socket.elements(of("slots"))) == 8


def test_a_class_of_slots_is_rewritten_in_one_transaction(place: Place, socket: Socket) -> None:
    before = [Put(slot(number, "10.0.1.9")) for number in range(4096)]
    socket.apply(before)
    after = [Put(slot(number, f"10.0.2.{number % 250}")) for number in range(4096)]

    socket.apply([*before, *after])

    assert set(socket.elements(of("slots"))) == {each.value for each in after}


def test_a_refused_transaction_changes_nothing_and_names_its_element(
    place: Place, socket: Socket
) -> None:
    socket.apply([Put(slot(1, "10.0.1.9"))])
    vips = [
        Put(Element(of=of("vips"), key=address(f"10.0.1.{number}"), data=goto(chain)))
        for number, chain in ((5, "c16"), (6, "c17"), (7, "c16"))
    ]

    with pytest.raises(KernelRefused) as refused:
        socket.apply([Put(slot(1, "10.0.1.10")), *vips, Remove(slot(2))])

    assert refused.value.errno == errno.ENOENT
    assert "put element 0a000106 of set vips of table inet swarm" in refused.value.message
    assert socket.elements(of("slots")) == [slot(1, "10.0.1.9")]
    assert socket.elements(of("vips")) == []


def test_elements_of_a_table_that_is_not_there_are_refused(place: Place, socket: Socket) -> None:
    elsewhere = Set(Table("nowhere"), "slots")

    with pytest.raises(KernelRefused, match="table inet nowhere: No such file"):
        socket.apply([Put(Element(of=elsewhere, key=mark(1), data=mark(1)))])


def test_a_table_goes_with_all_that_is_in_it_however_often(place: Place, socket: Socket) -> None:
    socket.apply([Put(slot(1, "10.0.1.9"))])

    for _ in range(2):
        socket.apply([Remove(TABLE), Put(Table("other", Family.IPV4))])

    assert set(socket.tables()) == {NODES.table, Table("other", Family.IPV4)}


def test_random_changes_leave_what_the_last_of_them_says(place: Place, socket: Socket) -> None:
    """The same operations on a dictionary are the oracle."""
    chance = random.Random(11)
    expected: dict[bytes, Element] = {}
    for _ in range(60):
        batch: list[Put | Remove] = []
        for _ in range(chance.randrange(1, 12)):
            value = slot(chance.randrange(8), f"10.0.1.{chance.randrange(3)}")
            if chance.random() < 0.4:
                batch.append(Remove(value))
                expected.pop(value.key, None)
            else:
                batch.append(Put(value))
                expected[value.key] = value
        socket.apply(batch)

        assert {each.key: each for each in socket.elements(of("slots"))} == expected


def test_counters_are_read_by_key(place: Place, socket: Socket) -> None:
    place.run("ip", "link", "set", "lo", "up")
    hit, missed = address("127.0.0.5"), address("127.0.0.6")
    socket.apply(Put(Element(of=of("vips"), key=key, data=goto("c16"))) for key in (hit, missed))

    place.run("python3", "-c", "import socket as s\nu = s.socket(s.AF_INET, s.SOCK_DGRAM)\n"
              "for _ in range(3): u.sendto(b'x' * 100, ('127.0.0.5', 9))")  # fmt: skip

    counts = socket.counts(of("vips"))
    assert counts[hit] == (3, 3 * 128)
    assert counts[missed] == (0, 0)


def test_packets_see_all_of_a_transaction_or_nothing(place: Place, socket: Socket) -> None:
    """Every address is dropped by one map or the other while 400 transactions swap them.

    Were an element away for a moment between its removal and its return, a datagram would
    pass, and its socket would be told that nobody listens.
    """
    place.run("ip", "link", "set", "lo", "up")
    place.nft("add chain inet swarm pass\n add rule inet swarm pass drop\n")
    keep = address("127.0.0.5")
    verdicts = [DROP, goto("pass")]
    socket.apply([Put(Element(of=of("vips"), key=keep, data=verdicts[0]))])
    sender = place.start("python3", "-u", "-c", SENDER)
    try:
        assert sender.stdout is not None
        assert sender.stdin is not None
        told = sender.stdout.fileno()
        heard = os.read(told, 100)
        for number in itertools.count():
            verdict = verdicts[number % 2]
            socket.apply([Put(Element(of=of("vips"), key=keep, data=verdict))])
            heard += os.read(told, 100) if select.select((told,), (), (), 0)[0] else b""
            assert sender.poll() is None
            if number >= 400 and b"many" in heard:
                break
        said, _ = sender.communicate("stop\n", timeout=20)
    finally:
        sender.kill()
        sender.wait()

    sent, passed = map(int, said.split()[-2:])
    assert sent > 1000
    assert passed == 0


SENDER = """
import select, socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.bind(("127.0.0.5", 9)); listening.setblocking(False)
sent = passed = 0
print("sending")
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        try:
            made.sendto(b"x", ("127.0.0.5", 9))
        except PermissionError:
            pass
        sent += 1
    if sent == 2000:
        print("many")
    try:
        while listening.recv(9):
            passed += 1
    except BlockingIOError:
        pass
print(sent, passed)
"""


def test_the_resolvers_rules_are_those_that_nft_makes_of_the_text(place: Place) -> None:
    text = redirect.__globals__["__doc__"].split("for UDP:\n")[1].split("Sources:")[0]
    place.nft(text.replace("PORT", "61053"))
    wanted = place.run("nft", "list", "table", "ip", "swarm_dns")

    for _ in range(2):
        place.socket.load("redirect DNS", redirect(61053, 61054))

    made = place.run("nft", "list", "table", "ip", "swarm_dns")
    assert [line for line in made.splitlines() if "tcp" not in line] == wanted.splitlines()
    assert [line.strip() for line in made.splitlines() if "tcp" in line] == [
        "ip daddr 127.0.0.11 tcp dport 53 tcp dport set 61054",
        "ip saddr 127.0.0.11 tcp sport 61054 tcp sport set 53",
    ]
    place.socket.apply([Remove(RESOLVER_TABLE)])
    assert RESOLVER_TABLE not in place.socket.tables()


def test_a_ruleset_with_a_fault_is_refused_whole(place: Place) -> None:
    with pytest.raises(KernelRefused, match=r"nft refused a ruleset: .*no_such_word"):
        nft.load("table inet mine { }\ntable inet other { no_such_word }", place.netns)

    assert Table("mine") not in place.socket.tables()


def test_without_nft_the_operator_is_told_to_install_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Refused, match="nft is not installed") as refused:
        nft.load("table inet mine { }", place.netns)

    assert refused.value.hint == "install the package nftables"
