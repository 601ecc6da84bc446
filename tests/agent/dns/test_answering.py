"""Which packets answer which packets, and which are for others to answer."""

from random import Random

import dns.flags
import dns.message
import pytest

from agent.dns import wire
from agent.dns.answering import Answer, Answers, Forward, Verdict
from agent.dns.asking import Asker
from agent.dns.names import Names
from swarm.objects import Network
from swarm.topology import Endpoint, VirtualService
from tests.agent.dns.questions import ask, values
from tests.agent.dns.records import asker, endpoint, network, service, topology

ME = asker("n1")


def answers(*records: Network | Endpoint | VirtualService) -> Answers:
    made = Answers(Names(), Random(1))
    made.take(topology(network(), *records, is_complete=True))
    return made


def verdict(
    held: Answers,
    name: str,
    kind: str = "A",
    *,
    who: Asker = ME,
    is_tcp: bool = False,
    payload: int = 0,
) -> Verdict | None:
    return held.verdict(ask(name, kind, payload=payload), who, is_tcp=is_tcp)


def told(held: Answers, name: str, kind: str = "A", who: Asker = ME) -> list[str]:
    found = verdict(held, name, kind, who=who)
    assert isinstance(found, Answer)
    assert dns.message.from_wire(found.packet).rcode() == 0
    return sorted(values(found.packet))


def test_each_family_has_its_own_type() -> None:
    held = answers(service("web", "10.0.0.2", "fd00::2"))

    assert told(held, "web") == ["10.0.0.2"]
    assert told(held, "WEB.", "AAAA") == ["fd00::2"]
    assert told(held, "web", "ANY") == ["10.0.0.2", "fd00::2"]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "SRV", "HTTPS", "CNAME"])
def test_of_a_known_name_nothing_is_asked_elsewhere(kind: str) -> None:
    held = answers(service("web", "10.0.0.2"))

    assert told(held, "web", kind) == []


def test_unknown_names_are_for_others_single_words_too() -> None:
    held = answers(service("web", "10.0.0.2"))

    for name in ("example.org", "intranet", "web.elsewhere", "x.web", "1.1.1.1.in-addr.arpa"):
        assert isinstance(verdict(held, name), Forward), name
    assert isinstance(verdict(held, "web", who=asker("n2")), Forward)


def test_without_a_way_out_others_are_not_asked() -> None:
    held = answers(network("in", internal=True))

    found = verdict(held, "example.org", who=asker("in"))

    assert isinstance(found, Answer)
    assert dns.message.from_wire(found.packet).rcode() == wire.NXDOMAIN
    own = asker("in", servers=("10.0.0.9",))
    assert isinstance(verdict(held, "example.org", who=own), Forward)


def test_answers_live_for_no_time() -> None:
    held = answers(service("web", "10.0.0.2"), endpoint("t", "10.0.0.5"))

    for name in ("web", "tasks.web"):
        found = verdict(held, name)
        assert isinstance(found, Answer)
        assert dns.message.from_wire(found.packet).answer[0].ttl == 0


def test_a_changed_record_changes_the_next_answer() -> None:
    held = answers(service("web"), endpoint("t1", "10.0.0.5"), endpoint("t2", "10.0.0.6", slot=2))
    names = ("web", "tasks.web", "web.net-n1", "tasks.web.net-n1")
    assert all(told(held, each) == ["10.0.0.5", "10.0.0.6"] for each in names)

    held.take(topology(endpoint("t1", "10.0.0.5", is_serving=False)))
    assert all(told(held, each) == ["10.0.0.6"] for each in names)

    held.take(topology(service("web", "10.0.0.2")))
    assert told(held, "web") == ["10.0.0.2"]
    assert told(held, "tasks.web") == ["10.0.0.6"]

    held.take(topology(is_complete=True))
    assert isinstance(verdict(held, "web"), Forward)


def test_tasks_take_turns() -> None:
    tasks = [endpoint(f"t{each}", f"10.0.0.{each}", slot=each) for each in range(1, 9)]
    held = answers(service("web"), *tasks)

    first = set[str]()
    for _ in range(200):
        found = verdict(held, "web")
        assert isinstance(found, Answer)
        first.add(values(found.packet)[0])

    assert first == {f"10.0.0.{each}" for each in range(1, 9)}


def test_many_tasks_are_cut_by_udp_and_whole_by_tcp() -> None:
    tasks = [endpoint(f"t{each}", f"10.0.{each >> 8}.{each & 255}") for each in range(1000)]
    held = answers(service("web"), *tasks)

    whole = verdict(held, "tasks.web", is_tcp=True)
    small, large = verdict(held, "tasks.web"), verdict(held, "tasks.web", payload=1232)

    assert isinstance(whole, Answer)
    assert isinstance(small, Answer)
    assert isinstance(large, Answer)
    assert len(set(values(whole.packet))) == 1000
    assert not dns.message.from_wire(whole.packet).flags & dns.flags.TC
    for packet, limit in ((small.packet, 512), (large.packet, 1232)):
        assert limit - 16 < len(packet) <= limit
        assert dns.message.from_wire(packet).flags & dns.flags.TC


def test_one_asks_for_itself_and_for_others_by_the_same_name() -> None:
    held = answers(service("web", "10.0.0.2"), endpoint("me", "10.0.0.5", is_serving=False))

    assert told(held, "web.1.me") == ["10.0.0.5"]
    assert told(held, "web.1.me", who=asker("n1", task="other")) == []
    assert told(held, "box", who=asker("n1", hostname="box")) == ["10.0.0.5"]
    assert told(held, "web", who=asker("n1", hostname="web")) == ["10.0.0.2"]


def test_addresses_have_names() -> None:
    held = answers(network("n1", "back", "10.0.0.0/24"), service("web", "10.0.0.2"))

    assert told(held, "2.0.0.10.in-addr.arpa", "PTR") == ["web.back."]
    assert told(held, "2.0.0.10.in-addr.arpa", "A") == []
    found = verdict(held, "3.0.0.10.in-addr.arpa", "PTR")
    assert isinstance(found, Answer)
    assert dns.message.from_wire(found.packet).rcode() == wire.NXDOMAIN


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (ask("web", "AXFR"), wire.REFUSED),
        (ask("web")[:-2], wire.FORMERR),
    ],
)
def test_what_is_not_answered_fails(packet: bytes, rcode: int) -> None:
    found = answers(service("web", "10.0.0.2")).verdict(packet, ME, is_tcp=True)

    assert isinstance(found, Answer)
    assert found.is_failure
    assert dns.message.from_wire(found.packet).rcode() == rcode


def test_newer_extensions_than_ours_are_told_so() -> None:
    packet = bytearray(ask("web", payload=1232))
    packet[-5] = 1

    found = answers(service("web", "10.0.0.2")).verdict(bytes(packet), ME, is_tcp=False)

    assert isinstance(found, Answer)
    assert dns.message.from_wire(found.packet).rcode() == wire.BADVERS


def test_other_classes_are_not_ours() -> None:
    packet = ask("web")[:-1] + b"\x03"

    found = answers(service("web", "10.0.0.2")).verdict(packet, ME, is_tcp=False)

    assert isinstance(found, Forward)


def test_an_answer_says_in_which_network_it_was_found() -> None:
    held = answers(network("n2"), service("db", "10.1.0.2", network_id="n2"))

    found = verdict(held, "db", who=asker("n1", "n2"))

    assert isinstance(found, Answer)
    assert found.network_id == "n2"
