"""Put elements into nftables sets and maps, take them out, and read them.

A transaction is one buffer, from BATCH_BEGIN to BATCH_END: all of it or nothing, and no packet
sees half of it. The kernel refuses to add what is there with other data and to delete what is
not there. So a `Put` in a map is DESTROY, which does not mind, and then NEW. Kernels before 6.3
have no DESTROY: there `found` says what to delete. Of several operations on one key the last
counts. Sources: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from agent.network.kernel import Element, Family, Operation, Put, Remove, Set, Table, Verdict
from agent.network.wire.attributes import (
    attribute,
    be32,
    decoded,
    listed,
    nested,
    text,
    to_be,
    to_text,
)
from agent.network.wire.messages import ACK, CREATE, DUMP, Request

SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 16, 17

_HEAD: Final = struct.Struct(">BBH")  # struct nfgenmsg
_MESSAGE_HEAD: Final = 16  # struct nlmsghdr

NEW_TABLE, GET_TABLE, DELETE_TABLE = 0, 1, 2
NEW_CHAIN, NEW_RULE = 3, 6
NEW_ELEMENT, GET_ELEMENT, DELETE_ELEMENT = 12, 13, 14
DESTROY_TABLE, DESTROY_ELEMENT = 26, 30

_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_LIST_ITEM: Final = 1  # NFTA_LIST_ELEM
_KEY, _DATA, _EXPRESSION, _EXPRESSIONS = 1, 2, 7, 11  # NFTA_SET_ELEM_*
_VALUE, _VERDICT = 1, 2  # NFTA_DATA_*
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2  # NFTA_EXPR_*
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2

_LIST_BYTES: Final = 60_000  # an attribute's length has two bytes


class Step(NamedTuple):
    """A message of a transaction, and for its refusal where in it which element is."""

    request: Request
    values: tuple[Element | Table, ...] = ()
    offsets: tuple[int, ...] = ()

    def at(self, offset: int) -> Element | Table | None:
        """What the kernel means by an offset; the first value when it gave none."""
        for value, begins in zip(reversed(self.values), reversed(self.offsets), strict=True):
            if begins <= offset:
                return value
        return self.values[0] if self.values else None


class Count(NamedTuple):
    """What an element's counter says."""

    packets: int
    bytes: int


Found = Mapping[tuple[Set, bytes], Element]


def message(kind: int, family: int, *attributes: bytes, flags: int = 0) -> Request:
    """A message of this subsystem."""
    return Request(SUBSYSTEM << 8 | kind, flags, _HEAD.pack(family, 0, 0) + b"".join(attributes))


def batch(requests: Sequence[Request]) -> list[Request]:
    """The requests as a transaction; the last of them asks to be acknowledged."""
    *others, last = requests
    ends = _HEAD.pack(0, 0, SUBSYSTEM)
    return [
        Request(_BATCH_BEGIN, 0, ends),
        *others,
        last._replace(flags=last.flags | ACK),
        Request(_BATCH_END, 0, ends),
    ]


def transaction(operations: Iterable[Operation], found: Found | None = None) -> list[Step]:
    """The messages that do all of `operations`, tables and elements; none when all is done.

    Without `found` the kernel must have DESTROY; else it holds what there is of the elements.
    """
    steps: list[Step] = []
    pending: dict[tuple[Set, bytes], Operation] = {}
    for operation in operations:
        match operation.value:
            case Element(of=of, key=key):
                pending[of, key] = operation
            case Table() as table:
                steps += _element_steps(pending, found)
                pending = {}
                steps += _table_steps(operation, table)
            case other:
                raise AssertionError(f"not a thing of nftables: {other}")
    return steps + _element_steps(pending, found)


def probe() -> Request:
    """What only a kernel with DESTROY does not refuse, and what does nothing."""
    return message(DESTROY_TABLE, Family.INET, text(1, "swarm-probe"))


def get_tables() -> Request:
    """Read all tables."""
    return message(GET_TABLE, 0, flags=DUMP)


def get_elements(of: Set) -> Request:
    """Read all elements of a set."""
    return message(GET_ELEMENT, of.table.family, *_named(of), flags=DUMP)


def get_element(value: Element) -> Request:
    """Read one element of a set."""
    key = nested(_LIST_ITEM, nested(_KEY, attribute(_VALUE, value.key)))
    elements = nested(_LIST_ELEMENTS, key)
    return message(GET_ELEMENT, value.of.table.family, *_named(value.of), elements)


def decode_table(body: bytes) -> Table:
    """A table."""
    family = _HEAD.unpack_from(body)[0]
    return Table(to_text(decoded(body, _HEAD.size)[1]), Family(family))


def decode_elements(body: bytes, of: Set) -> Iterator[tuple[Element, Count | None]]:
    """The elements in one message, with their counters; those for everything else left out."""
    for _, item in listed(decoded(body, _HEAD.size).get(_LIST_ELEMENTS, b"")):
        found = decoded(item)
        if _KEY in found:
            key = decoded(found[_KEY])[_VALUE]
            data = _decode_data(found[_DATA]) if _DATA in found else None
            yield Element(of=of, key=key, data=data), _count(found)


def _element_steps(
    pending: Mapping[tuple[Set, bytes], Operation], found: Found | None
) -> list[Step]:
    gone: dict[Set, list[Element]] = {}
    new: dict[Set, list[Element]] = {}
    for (of, key), operation in pending.items():
        value = operation.value
        assert isinstance(value, Element)
        there = None if found is None else found.get((of, key))
        is_same = isinstance(operation, Put) and there is not None and there.data == value.data
        if is_same:
            continue
        if _must_go(operation, value) if found is None else there is not None:
            gone.setdefault(of, []).append(value)
        if isinstance(operation, Put):
            new.setdefault(of, []).append(value)
    delete = DESTROY_ELEMENT if found is None else DELETE_ELEMENT
    return [
        *(step for of, values in gone.items() for step in _list_steps(delete, of, values)),
        *(step for of, values in new.items() for step in _list_steps(NEW_ELEMENT, of, values)),
    ]


def _must_go(operation: Operation, value: Element) -> bool:
    """Without data there is nothing to replace: adding it once more is right by itself."""
    return isinstance(operation, Remove) or value.data is not None


def _list_steps(kind: int, of: Set, values: list[Element]) -> Iterator[Step]:
    """Messages about `values`, as few as their size allows."""
    first = _MESSAGE_HEAD + _HEAD.size + sum(map(len, _named(of))) + 4
    items: list[bytes] = []
    offsets: list[int] = []
    start = size = 0
    for position, value in enumerate(values):
        item = _item(value, has_data=kind == NEW_ELEMENT)
        if size + len(item) > _LIST_BYTES:
            yield _list_step(kind, items, values[start:position], offsets)
            items, offsets, start, size = [], [], position, 0
        items.append(item)
        offsets.append(first + size)
        size += len(item)
    yield _list_step(kind, items, values[start:], offsets)


def _list_step(kind: int, items: list[bytes], values: list[Element], offsets: list[int]) -> Step:
    of = values[0].of
    flags = CREATE if kind == NEW_ELEMENT else 0
    elements = nested(_LIST_ELEMENTS, *items)
    request = message(kind, of.table.family, *_named(of), elements, flags=flags)
    return Step(request, tuple(values), tuple(offsets))


def _item(value: Element, *, has_data: bool) -> bytes:
    key = nested(_KEY, attribute(_VALUE, value.key))
    match value.data if has_data else None:
        case None:
            return nested(_LIST_ITEM, key)
        case Verdict(code=code, chain=chain):
            parts = [be32(_VERDICT_CODE, code)]
            if chain:
                parts.append(text(_VERDICT_CHAIN, chain))
            return nested(_LIST_ITEM, key, nested(_DATA, nested(_VERDICT, *parts)))
        case data:
            return nested(_LIST_ITEM, key, nested(_DATA, attribute(_VALUE, data)))


def _table_steps(operation: Operation, table: Table) -> list[Step]:
    """Add it, and to remove it delete it then: so it is there to be deleted."""
    name = text(1, table.name)
    kinds = (NEW_TABLE, DELETE_TABLE) if isinstance(operation, Remove) else (NEW_TABLE,)
    return [
        Step(
            message(kind, table.family, name, flags=CREATE if kind == NEW_TABLE else 0),
            (table,),
            (_MESSAGE_HEAD,),
        )
        for kind in kinds
    ]


def _named(of: Set) -> tuple[bytes, bytes]:
    return text(_LIST_TABLE, of.table.name), text(_LIST_SET, of.name)


def _decode_data(payload: bytes) -> bytes | Verdict:
    data = decoded(payload)
    if _VALUE in data:
        return data[_VALUE]
    verdict = decoded(data[_VERDICT])
    code = int.from_bytes(verdict[_VERDICT_CODE], "big", signed=True)
    return Verdict(code, to_text(verdict.get(_VERDICT_CHAIN, b"")))


def _count(element: Mapping[int, bytes]) -> Count | None:
    """Its counter, whether the element has one expression or a list of them."""
    single = [element[_EXPRESSION]] if _EXPRESSION in element else []
    several = [item for _, item in listed(element.get(_EXPRESSIONS, b""))]
    for expression in map(decoded, single + several):
        if to_text(expression[_EXPRESSION_NAME]) == "counter":
            counter = decoded(expression[_EXPRESSION_DATA])
            return Count(to_be(counter[_COUNTER_PACKETS]), to_be(counter[_COUNTER_BYTES]))
    return None
