"""Transactions of set elements, byte by byte and by what they leave behind."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.fields import address, goto, joined, mark, port, protocol
from agent.network.kernel import Element, Family, Put, Remove, Route, Set, Table, Verdict, identity
from agent.network.wire import nftables
from agent.network.wire.attributes import attribute, be32, decoded, nested, text
from agent.network.wire.messages import ACK, CREATE

TABLE = Table("swarm")
SLOTS = Set(TABLE, "slots")
VIPS = Set(TABLE, "vips")
NEW, DELETE, DESTROY = 0xA0C, 0xA0E, 0xA1E


def element(key: int, data: int | None = 0, of: Set = SLOTS) -> Element:
    return Element(of=of, key=mark(key), data=None if data is None else mark(data))


def kinds(steps: list[nftables.Step]) -> list[int]:
    return [step.request.kind for step in steps]


def test_an_element_of_a_map_is_destroyed_and_added() -> None:
    key = joined(address("10.0.1.5"), mark(3))

    destroy, new = nftables.transaction([Put(Element(of=SLOTS, key=key, data=address("10.0.1.9")))])

    named = "01 00 0000 0a00 0100 737761726d00 0000 0a00 0200 736c6f747300 0000"
    keyed = "1000 0180 0c00 0100 0a000105 03000000"  # NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
    assert destroy.request == (DESTROY, 0, bytes.fromhex(f"{named} 1800 0380 1400 0180 {keyed}"))
    assert new.request == (
        NEW,
        CREATE,
        bytes.fromhex(f"{named} 2400 0380 2000 0180 {keyed} 0c00 0280 0800 0100 0a000109"),
    )


def test_a_verdict_names_its_chain() -> None:
    _, new = nftables.transaction(
        [Put(Element(of=VIPS, key=address("10.0.1.5"), data=goto("c16")))]
    )

    assert new.request.body.endswith(
        bytes.fromhex(
            "1800 0280 1400 0280"  # NFTA_SET_ELEM_DATA, NFTA_DATA_VERDICT
            "0800 0100 fffffffc"  # NFT_GOTO
            "0800 0200 63313600"  # NFTA_VERDICT_CHAIN
        )
    )


def test_an_element_of_a_set_is_only_added() -> None:
    assert kinds(nftables.transaction([Put(element(1, None))])) == [NEW]


def test_of_several_operations_on_a_key_the_last_counts() -> None:
    steps = nftables.transaction([Put(element(1)), Remove(element(2)), Remove(element(1, 5))])

    assert kinds(steps) == [DESTROY]
    assert {value.key for value in steps[0].values if isinstance(value, Element)} == {
        mark(1),
        mark(2),
    }


def test_elements_of_several_sets_travel_in_a_message_for_each() -> None:
    steps = nftables.transaction(
        [Put(element(number, of=of)) for number in range(3) for of in (SLOTS, VIPS)]
    )

    assert kinds(steps) == [DESTROY, DESTROY, NEW, NEW]
    assert [len(step.values) for step in steps] == [3, 3, 3, 3]


def test_more_elements_than_an_attribute_holds_are_several_messages() -> None:
    steps = nftables.transaction([Put(element(number)) for number in range(5000)])

    assert sum(len(step.values) for step in steps if step.request.kind == NEW) == 5000
    assert len(steps) == 2 + 3
    assert max(len(step.request.body) for step in steps) < 65536


def test_a_table_is_added_before_it_is_deleted_so_that_it_is_there() -> None:
    steps = nftables.transaction([Put(element(1, None)), Remove(TABLE), Put(element(2, None))])

    assert kinds(steps) == [NEW, 0xA00, 0xA02, NEW]


def test_what_is_not_of_nftables_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="not a thing of nftables"):
        nftables.transaction([Put(Route(destination="10.0.0.0/8"))])


def test_the_kernels_offset_finds_the_element() -> None:
    """The kernel counts from the message's header to the attribute that it could not do."""
    values = [element(number, None) for number in (0xAAAAAAAA, 0xBBBBBBBB, 0xCCCCCCCC)]
    (step,) = nftables.transaction([Put(value) for value in values])
    message = struct.pack("=IHHII", 16 + len(step.request.body), 0, 0, 0, 0) + step.request.body
    second = message.index(mark(0xBBBBBBBB)) - 12  # its own head, that of the key, and of the value

    assert step.at(second) == values[1]
    assert step.at(len(message)) == values[2]
    assert step.at(0) == values[0]


def test_a_batch_is_fenced_by_its_last_request() -> None:
    made = nftables.batch([nftables.probe(), nftables.probe()])

    assert [request.kind for request in made] == [16, 0xA1A, 0xA1A, 17]
    assert [request.flags & ACK for request in made] == [0, 0, ACK, 0]
    assert made[0].body == bytes.fromhex("00 00 000a")


@given(
    before=st.dictionaries(st.integers(0, 5), st.integers(0, 2)),
    wanted=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2) | st.none())),
    has_destroy=st.booleans(),
)
def test_law_a_transaction_leaves_what_its_operations_say(
    before: dict[int, int], wanted: list[tuple[int, int | None]], has_destroy: bool
) -> None:
    """Played by the kernel's rules: NEW refuses other data, DELETE refuses what is not there."""
    operations = [
        Remove(element(key)) if data is None else Put(element(key, data)) for key, data in wanted
    ]
    held = {mark(key): mark(data) for key, data in before.items()}
    touched = {mark(key) for key, _ in wanted}
    found = {
        (SLOTS, key): Element(of=SLOTS, key=key, data=data)
        for key, data in held.items()
        if key in touched
    }

    for step in nftables.transaction(operations, None if has_destroy else found):
        for value in step.values:
            assert isinstance(value, Element)
            match step.request.kind:
                case k if k == NEW:
                    assert isinstance(value.data, bytes)
                    assert held.setdefault(value.key, value.data) == value.data
                case k if k == DELETE:
                    assert not has_destroy
                    del held[value.key]
                case k:
                    assert k == DESTROY
                    assert has_destroy
                    held.pop(value.key, None)

    expected = dict(before)
    for key, data in wanted:
        if data is None:
            expected.pop(key, None)
        else:
            expected[key] = data
    assert held == {mark(key): mark(data) for key, data in expected.items()}


@given(
    st.lists(
        st.builds(
            Element,
            of=st.just(SLOTS),
            key=st.binary(min_size=1, max_size=64),
            data=st.none()
            | st.binary(min_size=1, max_size=64)
            | st.builds(Verdict, st.sampled_from([-3, -4]), st.sampled_from(["a", "c16"])),
        ),
        unique_by=identity,
        min_size=1,
    )
)
def test_law_elements_are_read_as_they_were_written(written: list[Element]) -> None:
    steps = nftables.transaction([Put(value) for value in written])

    read = [
        found
        for step in steps
        if step.request.kind == NEW
        for found, _ in nftables.decode_elements(step.request.body, SLOTS)
    ]

    assert read == written


def test_counters_are_read_from_one_expression_or_of_several() -> None:
    counter = nested(
        2, attribute(1, (500).to_bytes(8, "big")), attribute(2, (7).to_bytes(8, "big"))
    )
    counting = text(1, "counter") + counter
    other = text(1, "limit") + nested(2)
    alone = nested(1, nested(1, attribute(1, b"k")), nested(7, counting))
    among = nested(
        1, nested(1, attribute(1, b"l")), nested(11, nested(1, other), nested(1, counting))
    )
    catch_all = nested(1, be32(3, 2))

    read = nftables.decode_elements(bytes(4) + nested(3, alone, among, catch_all), SLOTS)

    count = nftables.Count(packets=7, bytes=500)
    assert [(value.key, found) for value, found in read] == [(b"k", count), (b"l", count)]


def test_a_table_is_read_with_its_family() -> None:
    body = bytes((5, 0, 0, 0)) + text(1, "swarm")

    assert nftables.decode_table(body) == Table("swarm", Family.NETDEV)


def test_fields_are_filled_up_only_in_a_concatenation() -> None:
    assert port(80) == b"\x00\x50"
    assert joined(protocol("tcp"), port(80)) == b"\x06\0\0\0\x00\x50\0\0"
    assert decoded(attribute(1, mark(1)))[1] == struct.pack("=I", 1)
