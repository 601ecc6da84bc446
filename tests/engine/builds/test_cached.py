"""What the builder remembers: how it is shown, and what of it is chosen."""

import pytest

from engine.builds import cached
from engine.filters import Filters
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid

OWN = pb.BuildCacheRecord(
    id="abc", description="/bin/sh -c make", size_bytes=7, created_at=1.5, last_used_at=2.0, uses=3
)
SHARED = pb.BuildCacheRecord(id="def", description="COPY x", size_bytes=5, shared=True)


def chosen(**filters: str) -> list[str]:
    return cached.choose([OWN, SHARED], {key: (value,) for key, value in filters.items()})


def test_a_record_is_shown_in_docker_s_shape() -> None:
    assert cached.write_records([OWN]) == [
        {
            "ID": "abc", "Type": "regular", "Description": "/bin/sh -c make", "InUse": False,
            "Shared": False, "Size": 7, "CreatedAt": "1970-01-01T00:00:01.5Z",
            "LastUsedAt": "1970-01-01T00:00:02Z", "UsageCount": 3,
        }
    ]  # fmt: skip


def test_only_what_is_not_shared_takes_room() -> None:
    assert cached.own_bytes([OWN, SHARED]) == 7


def test_filters_choose_records() -> None:
    assert chosen(id="b") == ["abc"]
    assert chosen(description="COPY x") == ["def"]
    assert (chosen(type="regular"), chosen(type="exec.cachemount")) == (["abc", "def"], [])
    assert (chosen(shared="true"), chosen(shared="0")) == (["def"], ["abc"])
    assert (chosen(private="true"), chosen(inuse="true")) == (["abc"], [])


def test_nothing_has_a_label() -> None:
    assert (chosen(label="x"), cached.choose([OWN], {"label!": ("x",)})) == ([], ["abc"])


@pytest.mark.parametrize("filters", [{"parent": ("x",)}, {"nonsense": ("x",)}, {"inuse": ("x",)}])
def test_a_filter_that_says_nothing_to_us_is_refused(filters: Filters) -> None:
    with pytest.raises(Invalid, match="invalid filter"):
        cached.choose([OWN], filters)


def test_ages_are_read_once() -> None:
    assert cached.read_unused_since({"until": ("10s",)}, now=100.0) == 90.0
    assert cached.read_unused_since({}, now=100.0) == 0.0
    assert cached.read_unused_since({"until": ("0",)}, now=100.0) > 0.0  # nothing is that old
    with pytest.raises(Invalid, match="more than one until"):
        cached.read_unused_since({"until": ("1s",), "unused-for": ("1s",)}, now=0.0)


def test_an_age_alone_needs_no_choice() -> None:
    assert not cached.narrows({"until": ("1s",)})
    assert cached.narrows({"id": ("a",)})
