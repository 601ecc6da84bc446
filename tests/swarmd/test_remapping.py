"""Whose ids containers get is read as Docker reads it, and never the host's root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.oci.config import IdMapping
from runtime.spec import UserNamespace
from swarm.errors import Invalid, Refused, SwarmError
from swarmd.remapping import (
    LEAST_IDS,
    Owner,
    Range,
    of_owner,
    of_range,
    parse_remap,
    require_kernel,
)

SUBUID = "alice:100000:65536\nswarmd:231072:65536\n# a comment\nbroken:1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default", Owner(user="swarmd", group="swarmd")),
        ("231072:65536", Range(first=231072, count=65536)),
        ("alice", Owner(user="alice", group="alice")),
        ("alice:staff", Owner(user="alice", group="staff")),
        ("1000", Owner(user="1000", group="1000")),
        ("1000:staff", Owner(user="1000", group="staff")),
    ],
)
def test_every_form_is_read(text: str, expected: Owner | Range) -> None:
    assert parse_remap(text) == expected


@pytest.mark.parametrize("text", [":", "a:", ":b", "a:b:c", "a b", "default:"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="--userns-remap") as caught:
        parse_remap(text)

    assert "FIRST:COUNT" in caught.value.hint


def test_a_range_is_a_mapping_from_root_on() -> None:
    ids = (IdMapping(container_id=0, host_id=231072, size=65536),)

    assert of_range(Range(first=231072, count=65536)) == UserNamespace(uids=ids, gids=ids)


@pytest.mark.parametrize(
    ("first", "count", "words"),
    [(0, 65536, "root"), (100000, 1000, "too few"), (2**32 - 10, 65536, "not a range")],
)
def test_a_range_that_would_not_do_is_refused(first: int, count: int, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        of_range(Range(first=first, count=count))


def owned(user: str = "swarmd", *, subuid: str = SUBUID, subgid: str = SUBUID) -> UserNamespace:
    owner = Owner(user=user, group=user)
    return of_owner(owner, users={user}, groups={user}, subuid=subuid, subgid=subgid)


def test_an_owner_gets_the_ranges_of_the_files() -> None:
    assert owned("alice").uids == (IdMapping(container_id=0, host_id=100000, size=65536),)


def test_several_ranges_follow_each_other() -> None:
    text = "swarmd:500000:65536\nswarmd:100000:40000\n"

    assert owned(subuid=text).uids == (
        IdMapping(container_id=0, host_id=100000, size=40000),
        IdMapping(container_id=40000, host_id=500000, size=65536),
    )


def test_a_range_given_to_a_number_is_found_by_any_name_of_the_owner() -> None:
    owner = Owner(user="alice", group="alice")

    found = of_owner(
        owner, users={"alice", "1000"}, groups={"alice"}, subuid="1000:5:70000", subgid=SUBUID
    )

    assert found.uids == (IdMapping(container_id=0, host_id=5, size=70000),)


def test_a_missing_range_is_told_with_the_lines_to_add() -> None:
    with pytest.raises(Refused) as caught:
        owned("bob", subgid="bob:400000:65536")

    assert caught.value.message == "--userns-remap: /etc/subuid has no range for bob"
    assert caught.value.hint == (
        "add bob:465536:65536 to /etc/subuid and bob:465536:65536 to /etc/subgid"
    )


def test_both_files_may_lack_it() -> None:
    with pytest.raises(Refused) as caught:
        owned(subuid="", subgid="")

    assert "/etc/subuid" in caught.value.message
    assert "/etc/subgid" in caught.value.message
    assert "swarmd:231072:65536" in caught.value.hint


def test_overlapping_ranges_are_refused() -> None:
    with pytest.raises(Invalid, match="overlaps"):
        owned(subuid="swarmd:100000:65536\nswarmd:100010:65536")


@pytest.mark.parametrize("release", ["5.19.0", "6.18.2-amd64", "6.1", "7-rc1", "unheard-of"])
def test_kernels_that_can_share_layers_are_taken(release: str) -> None:
    require_kernel(release)


@pytest.mark.parametrize("release", ["5.18.19", "5.10.0-30-amd64", "4.19"])
def test_kernels_that_cannot_share_layers_are_refused(release: str) -> None:
    with pytest.raises(Refused, match=r"5\.19"):
        require_kernel(release)


@given(
    st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 200000)), max_size=4),
    st.text(max_size=20),
)
def test_law_a_mapping_is_whole_and_without_the_hosts_root(
    ranges: list[tuple[int, int]], noise: str
) -> None:
    text = noise.replace("swarmd", "") + "\n" + "\n".join(f"swarmd:{a}:{b}" for a, b in ranges)

    try:
        found = owned(subuid=text)
    except SwarmError:
        return

    end = 0
    for mapping in found.uids:
        assert mapping.container_id == end
        assert mapping.host_id > 0
        end += mapping.size
    assert end >= LEAST_IDS
