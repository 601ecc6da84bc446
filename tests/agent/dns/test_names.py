"""What names stand for: examples, and laws over generated clusters and their changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.dns.asking import Nickname
from agent.dns.names import Names, reversed_address
from swarm.ids import NetworkId
from swarm.objects import Network
from swarm.topology import Endpoint, VirtualService, key_of
from tests.agent.dns.records import asker, endpoint, network, service, topology

ME = asker("n1")


def names(*records: Network | Endpoint | VirtualService) -> Names:
    made = Names()
    made.take(topology(network(), *records, is_complete=True))
    return made


def values(held: Names, name: str, who=ME) -> list[str] | None:
    found = held.lookup(who, name)
    return None if found is None else sorted(found.values)


def test_a_service_is_its_virtual_address() -> None:
    held = names(service("web", "10.0.0.2", "fd00::2"), endpoint("t1", "10.0.0.5"))

    assert values(held, "web") == ["10.0.0.2", "fd00::2"]
    assert values(held, "web.net-n1") == ["10.0.0.2", "fd00::2"]
    assert values(held, "tasks.web") == ["10.0.0.5"]
    assert values(held, "tasks.web.net-n1") == ["10.0.0.5"]


def test_without_a_virtual_address_it_is_its_serving_tasks() -> None:
    held = names(
        service("web", aliases=("www",)),
        endpoint("t1", "10.0.0.5", slot=1),
        endpoint("t2", "10.0.0.6", slot=2, is_serving=False),
        endpoint("t3", "10.0.0.7", slot=3),
    )

    for name in ("web", "www", "tasks.web"):
        assert values(held, name) == ["10.0.0.5", "10.0.0.7"]
        found = held.lookup(ME, name)
        assert found is not None
        assert found.is_interchangeable


def test_a_task_has_the_name_of_its_place_and_its_own() -> None:
    held = names(endpoint("abcdefghijklmnop", "10.0.0.5", slot=3))

    for name in ("web.3.abcdefghijklmnop", "web.3", "abcdefghijklmnop", "abcdefghijkl"):
        assert values(held, name) == ["10.0.0.5"], name


def test_both_tasks_of_a_slot_have_its_name_while_they_overlap() -> None:
    held = names(endpoint("t1", "10.0.0.5"), endpoint("t2", "10.0.0.6"))

    assert values(held, "web.1") == ["10.0.0.5", "10.0.0.6"]


def test_a_known_name_without_anybody_serving_is_empty_and_not_unknown() -> None:
    held = names(service("web"), endpoint("t1", "10.0.0.5", is_serving=False))

    for name in ("web", "tasks.web", "web.1", "web.1.t1"):
        assert values(held, name) == [], name
    assert values(held, "other") is None


def test_names_of_other_networks_are_unknown() -> None:
    held = names(network("n2"), service("db", "10.1.0.2", network_id="n2"))

    assert values(held, "db") is None
    assert values(held, "db.net-n2") is None
    assert values(held, "db", asker("n1", "n2")) == ["10.1.0.2"]


def test_a_name_means_what_it_means_in_the_first_network_that_knows_it() -> None:
    """Two stacks each have a `db`, and a proxy is in both their networks."""
    held = names(
        network("n2"),
        service("db", "10.0.0.2", service_id="one"),
        service("db", "10.1.0.2", service_id="two", network_id="n2"),
    )

    assert values(held, "db", asker("n1", "n2")) == ["10.0.0.2"]
    assert values(held, "db", asker("n2", "n1")) == ["10.1.0.2"]
    assert values(held, "db.net-n2", asker("n1", "n2")) == ["10.1.0.2"]


def test_one_service_in_two_shared_networks_has_both_addresses_the_first_networks_first() -> None:
    held = names(
        network("n2"), service("db", "10.0.0.2"), service("db", "10.1.0.2", network_id="n2")
    )

    found = held.lookup(asker("n2", "n1"), "db")

    assert found is not None
    assert found.values == ("10.1.0.2", "10.0.0.2")
    assert not found.is_interchangeable


def test_an_alias_is_one_in_its_own_network_only() -> None:
    held = names(
        network("n2"),
        service("db", "10.0.0.2", aliases=("store",)),
        service("db", "10.1.0.2", network_id="n2"),
    )

    assert values(held, "store", asker("n1", "n2")) == ["10.0.0.2"]
    assert values(held, "store", asker("n2")) is None


def test_an_alias_of_a_service_is_not_its_tasks_though_they_bear_it() -> None:
    held = names(
        service("web", "10.0.0.2", aliases=("www",)),
        endpoint("t1", "10.0.0.5", aliases=("www", "mine")),
    )

    assert values(held, "www") == ["10.0.0.2"]
    assert values(held, "mine") == ["10.0.0.5"]


def test_a_container_without_service_has_its_name_and_aliases() -> None:
    held = names(endpoint("t1", "10.0.0.5", name="", aliases=("box",)))

    assert values(held, "t1") == ["10.0.0.5"]
    assert values(held, "box.net-n1") == ["10.0.0.5"]
    assert values(held, "tasks.") is None


def test_what_a_service_is_called_no_container_of_that_name_stands_for() -> None:
    held = names(
        service("db", "10.0.0.2", aliases=("data",)),
        endpoint("t1", "10.0.0.5", name="db"),
        endpoint("db", "10.0.0.66", name="", aliases=("data", "mine")),
    )

    assert values(held, "db") == ["10.0.0.2"]
    assert values(held, "data") == ["10.0.0.2"]
    assert values(held, "mine") == ["10.0.0.66"]


def test_what_carries_published_ports_names_nobody() -> None:
    held = names(
        network("in", ingress=True),
        service("web", "10.255.0.2", network_id="in"),
        endpoint("t1", "10.255.0.5", network_id="in"),
    )
    who = asker("in", "n1")

    assert values(held, "web", who) is None
    assert values(held, "tasks.web", who) is None
    assert held.reverse(who, "5.0.255.10.in-addr.arpa") is None


def test_case_does_not_matter() -> None:
    held = names(
        service("Web", "10.0.0.2", aliases=("WWW",)), endpoint("T1", "10.0.0.5", name="Web")
    )

    assert values(held, "web") == ["10.0.0.2"]
    assert values(held, "www") == ["10.0.0.2"]
    assert values(held, "t1") == ["10.0.0.5"]


def test_a_task_knows_itself_before_others_may_hear_of_it() -> None:
    held = names(endpoint("me", "10.0.0.5", is_serving=False))

    for name in ("web.1.me", "me", "me.net-n1"):
        found = held.own(ME, name)
        assert found is not None
        assert found.values == ("10.0.0.5",)
        assert held.own(asker("n1", task="other"), name) is None
    assert held.own(ME, "web.1") is None


def test_a_hostname_is_its_containers_own_affair() -> None:
    held = names(endpoint("me", "10.0.0.5"))

    found = held.hostname(asker("n1", hostname="Box"), "box")

    assert found is not None
    assert found.values == ("10.0.0.5",)
    assert held.hostname(ME, "") is None
    assert held.hostname(asker("n1", task="other", hostname="box"), "box") is None


def test_a_nickname_is_known_to_who_uses_it_and_leads_to_whoever_has_the_name_now() -> None:
    me = replace(ME, nicknames=(Nickname(network_id=NetworkId("n1"), alias="DB", name="pg"),))
    held = names(endpoint("t2", "10.0.0.6", name="db"))

    assert held.nicknamed(me, "db") is None
    assert values(held, "db", me) == ["10.0.0.6"], "nobody has that name: others may be meant"

    held.take(topology(endpoint("pg", "10.0.0.5", name="")))
    for name in ("db", "db.net-n1"):
        found = held.nicknamed(me, name)
        assert found is not None
        assert found.values == ("10.0.0.5",)
    assert held.nicknamed(me, "db.net-n2") is None
    assert held.nicknamed(ME, "db") is None
    elsewhere = replace(me, networks=(NetworkId("n2"),))
    assert held.nicknamed(elsewhere, "db") is None


def test_all_there_is_of_the_nodes_own_networks_says_nothing_of_others() -> None:
    own = "a" * 64
    held = names(endpoint("t1", "10.0.0.5"))
    both = asker("n1", own)
    held.take(topology(network(own, "mine"), endpoint("c1", "172.18.0.2", name="", network_id=own)))
    assert values(held, "c1", both) == ["172.18.0.2"]

    again = topology(
        network(own, "mine"),
        endpoint("c2", "172.18.0.3", name="", network_id=own),
        is_complete=True,
    )
    held.take(again, is_local=True)

    assert values(held, "c1", both) is None
    assert values(held, "c2", both) == ["172.18.0.3"]
    assert values(held, "web.1", both) == ["10.0.0.5"]
    held.check()


def test_addresses_lead_back_to_qualified_names() -> None:
    held = names(
        network("n1", "back", subnet="10.0.0.0/24"),
        service("web", "10.0.0.2"),
        endpoint("t1", "10.0.0.5", "fd00::5", is_serving=False),
    )

    def called(name: str) -> tuple[str, ...] | None:
        found = held.reverse(ME, name)
        return None if found is None else found.values

    assert called("2.0.0.10.in-addr.arpa") == ("web.back",)
    assert called("5.0.0.10.in-addr.arpa") == ("web.1.t1.back",)
    assert called("5." + "0." * 27 + "0.d.f.ip6.arpa".lstrip("0.")) is None
    assert called("5." + "0." * 27 + "0.0.d.f.ip6.arpa") == ("web.1.t1.back",)
    assert called("1.1.1.1.in-addr.arpa") is None


def test_an_address_of_ours_that_nobody_has_does_not_exist_for_others_either() -> None:
    held = names(network("n1", subnet="10.0.0.0/24"))

    found = held.reverse(ME, "77.0.0.10.in-addr.arpa")

    assert found is not None
    assert not found.exists


@pytest.mark.parametrize(
    "name",
    ["in-addr.arpa", "1.2.3.in-addr.arpa", "256.1.1.1.in-addr.arpa", "x.ip6.arpa", "web"],
)
def test_what_is_no_reversed_address_is_none(name: str) -> None:
    assert reversed_address(name) is None


def test_only_internal_networks_have_no_way_out() -> None:
    held = names(network("in", internal=True), network("in2", internal=True))

    assert held.is_closed(asker("in", "in2"))
    assert not held.is_closed(asker("in", "n1"))
    assert not held.is_closed(asker("unknown"))


def test_a_change_touches_its_own_names_and_its_services() -> None:
    held = names(service("web", aliases=("www",)), service("db"), endpoint("t1", "10.0.0.5"))

    touched = held.take(topology(endpoint("t1", "10.0.0.5", is_serving=False)))

    assert touched is not None
    assert {"web", "www", "tasks.web", "web.1", "web.1.t1", "t1", "web.net-n1"} <= touched
    assert not any("db" in each for each in touched)
    assert held.take(topology(endpoint("t1", "10.0.0.5", is_serving=False))) == frozenset()
    assert held.take(topology(network("n1", "other"))) is None


NETWORKS = ("n1", "n2", "n3")
NAMES = ("web", "db", "api")


@st.composite
def records(draw: st.DrawFn) -> list[Network | Endpoint | VirtualService]:
    made: dict[str, Network | Endpoint | VirtualService] = {}
    for _ in range(draw(st.integers(0, 12))):
        zone = draw(st.sampled_from(NETWORKS))
        name = draw(st.sampled_from(NAMES))
        part = f"10.{NETWORKS.index(zone)}"
        aliases = tuple(draw(st.sets(st.sampled_from(("www", "x", "web")), max_size=2)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            record = network(zone, draw(st.sampled_from(("a", "b"))), ingress=draw(st.booleans()))
        elif kind == 1:
            virtual = [f"{part}.0.{NAMES.index(name)}"] if draw(st.booleans()) else []
            record = service(name, *virtual, network_id=zone, aliases=aliases)
        else:
            number = draw(st.integers(1, 9))
            record = endpoint(
                f"t{number}",
                f"{part}.1.{number}",
                name=name,
                network_id=zone,
                slot=draw(st.integers(1, 2)),
                aliases=aliases,
                is_serving=draw(st.booleans()),
            )
        made[key_of(record)] = record
    return list(made.values())


ASKED = ("web", "db", "www", "x", "tasks.web", "web.1", "t1", "web.a", "tasks.db.b", "api.2.t3")


def addresses_in(held: list[Network | Endpoint | VirtualService], zones: set[str]) -> set[str]:
    return {
        address
        for each in held
        if not isinstance(each, Network) and each.network_id in zones
        for address in each.addresses
    }


@given(st.lists(records(), max_size=5), st.permutations(NETWORKS), st.integers(0, 3))
def test_law_nobody_hears_of_networks_that_it_is_not_in(
    told: list[list[Network | Endpoint | VirtualService]], order: list[str], count: int
) -> None:
    held, known = Names(), dict[str, Network | Endpoint | VirtualService]()
    for each in told:
        held.take(topology(*each))
        known |= {key_of(record): record for record in each}
    ways_in = {
        each.id for each in known.values() if isinstance(each, Network) and each.spec.ingress
    }
    who = asker(*order[:count]) if count else asker("none")

    allowed = addresses_in(list(known.values()), set(who.networks) - ways_in)

    for name in ASKED:
        found = held.lookup(who, name)
        assert found is None or set(found.values) <= allowed
        assert found is None or len(set(found.values)) == len(found.values)


@given(st.lists(records(), max_size=6), st.data())
def test_law_changes_lead_to_what_all_records_at_once_lead_to(
    told: list[list[Network | Endpoint | VirtualService]], data: st.DataObject
) -> None:
    held, known = Names(), dict[str, Network | Endpoint | VirtualService]()
    for each in told:
        gone = tuple(data.draw(st.sets(st.sampled_from(sorted(known)))) if known else ())
        is_complete = data.draw(st.booleans())
        before = {name: held.lookup(asker(*NETWORKS), name) for name in ASKED}

        touched = held.take(topology(*each, removed=gone, is_complete=is_complete))

        named = {key_of(record): record for record in each}
        kept = {} if is_complete else {k: v for k, v in known.items() if k not in gone}
        known = kept | named
        held.check()
        at_once = Names()
        at_once.take(topology(*known.values(), is_complete=True))
        for name in ASKED:
            found, other = (held_.lookup(asker(*NETWORKS), name) for held_ in (held, at_once))
            assert (found is None) == (other is None)
            assert found is None or other is None or set(found.values) == set(other.values)
            if touched is not None and name not in touched:
                assert found == before[name]


@given(records(), st.sampled_from(NAMES))
def test_law_tasks_of_a_service_are_exactly_those_that_serve(
    told: list[Network | Endpoint | VirtualService], name: str
) -> None:
    held = Names()
    held.take(topology(*told))
    ways_in = {each.id for each in told if isinstance(each, Network) and each.spec.ingress}
    mine = [
        each
        for each in told
        if isinstance(each, Endpoint) and each.service_name == name and each.network_id == "n1"
    ]

    found = held.lookup(asker("n1"), f"tasks.{name}")

    serving = {address for each in mine if each.is_serving for address in each.addresses}
    if "n1" in ways_in:
        assert found is None
    elif found is None:
        assert not mine
    else:
        assert set(found.values) == serving
