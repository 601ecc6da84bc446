"""What others answered is kept as long as it is good, and never too much of it."""

import dns.message
from hypothesis import given
from hypothesis import strategies as st

from agent.dns import wire
from agent.dns.cache import LONGEST_DENIAL_S, LONGEST_S, Cache
from tests.agent.dns.questions import read, reply


def kept(name: str, ttl: int, *, size: int = 1) -> tuple[bytes, wire.Reply]:
    query = read(name)
    records = (f"{name}. {ttl} A 1.2.{each >> 8}.{each & 255}" for each in range(size))
    found = wire.read_reply(reply(wire.ask(query, 9), *records), 9, query)
    assert found is not None
    return query.key, found


def test_a_reply_is_good_until_its_first_record_is_not() -> None:
    cache = Cache(most_bytes=10_000)
    key, found = kept("a", 30)
    cache.put("", key, found, 100.0)

    got = cache.get("", key, 120.0)

    assert got is not None
    assert dns.message.from_wire(got).answer[0].ttl == 10
    assert cache.get("other", key, 120.0) is None
    assert cache.get("", key, 130.0) is None
    assert len(cache) == 0


def test_nothing_is_kept_for_longer_than_an_hour_and_denials_for_minutes() -> None:
    cache = Cache(most_bytes=10_000)
    key, found = kept("a", 1_000_000)
    cache.put("", key, found, 0.0)
    assert cache.get("", key, LONGEST_S - 1) is not None
    assert cache.get("", key, LONGEST_S) is None

    query = read("b")
    soa = ("lan. 90000 SOA ns.lan. root.lan. 1 2 3 4 90000",)
    denied = wire.read_reply(reply(wire.ask(query, 9), authority=soa, rcode=3), 9, query)
    assert denied is not None
    cache.put("", query.key, denied, 0.0)
    assert cache.get("", query.key, LONGEST_DENIAL_S - 1) is not None
    assert cache.get("", query.key, LONGEST_DENIAL_S) is None


def test_what_was_not_asked_for_the_longest_time_makes_room() -> None:
    cache = Cache(most_bytes=2200)
    for name in ("a", "b", "c"):
        cache.put("", *kept(name, 60), 0.0)
    assert cache.get("", read("a").key, 1.0) is not None

    cache.put("", *kept("d", 60), 1.0)
    cache.put("", *kept("e", 60), 1.0)

    there = [each for each in "abcde" if cache.get("", read(each).key, 2.0) is not None]
    assert there == ["a", "c", "d", "e"]
    cache.check()


def test_the_servers_of_one_container_are_forgotten_with_it() -> None:
    cache = Cache(most_bytes=10_000)
    cache.put("t1", *kept("a", 60), 0.0)
    cache.put("", *kept("a", 60), 0.0)

    cache.forget("t1")

    assert cache.get("t1", read("a").key, 1.0) is None
    assert cache.get("", read("a").key, 1.0) is not None
    cache.check()


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 90), st.integers(1, 60)), max_size=30
    )
)
def test_law_it_is_never_larger_than_it_may_be(told: list[tuple[str, int, int]]) -> None:
    cache = Cache(most_bytes=5000)
    for now, (name, ttl, size) in enumerate(told):
        key, found = kept(name, ttl, size=size)
        cache.put("", key, found, float(now))
        cache.check()
        got = cache.get("", key, float(now))
        assert got is None or got == found.packet
        assert (got is None) == (ttl == 0 or len(found.packet) > 750)
