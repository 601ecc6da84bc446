"""Keep sets of slots as spans: as small as they are without gaps.

Slots are taken in order, so what is over is nearly one span however many slots there are.
Spans are sorted, apart from each other, and counted from 1.
"""

from collections.abc import Iterable, Iterator, Sequence

from swarm.objects import Span

Spans = tuple[Span, ...]


def with_slots(spans: Spans, slots: Iterable[int]) -> Spans:
    """The spans with more slots in them."""
    return merged(spans, (Span(slot, slot) for slot in slots))


def merged(*groups: Iterable[Span]) -> Spans:
    """All slots that are in any of the groups."""
    found: list[Span] = []
    for span in sorted((each for group in groups for each in group), key=_first):
        if found and span.first <= found[-1].last + 1:
            found[-1] = Span(found[-1].first, max(found[-1].last, span.last))
        else:
            found.append(span)
    return tuple(found)


def contain(spans: Sequence[Span], slot: int) -> bool:
    """Whether a slot is among them."""
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if spans[middle].last < slot:
            low = middle + 1
        else:
            high = middle
    return low < len(spans) and spans[low].first <= slot


def count_until(spans: Iterable[Span], last: int) -> int:
    """How many of the slots from 1 to `last` are among them."""
    return sum(max(0, min(span.last, last) - span.first + 1) for span in spans)


def missing(spans: Iterable[Span], last: int) -> Iterator[int]:
    """The slots from 1 to `last` that are not among them, in order."""
    slot = 1
    for span in spans:
        yield from range(slot, min(span.first, last + 1))
        slot = max(slot, span.last + 1)
    yield from range(slot, last + 1)


def _first(span: Span) -> int:
    return span.first
