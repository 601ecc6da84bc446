from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.standalone.naming import checked, conflict, made_up, make_id, meant
from swarm.errors import Invalid, Missing

IDS = ("abc" + "0" * 61, "abd" + "0" * 61, "f" * 64)
NAMES = {"web": IDS[0], "abd": IDS[2]}


@pytest.mark.parametrize("text", [IDS[0], "web", "/web", "abc"])
def test_a_container_is_meant_by_id_name_or_the_beginning_of_its_id(text: str) -> None:
    assert meant(text, IDS, NAMES) == IDS[0]


def test_a_name_counts_more_than_the_beginning_of_an_id() -> None:
    assert meant("abd", IDS, NAMES) == IDS[2]


def test_what_may_mean_two_means_none() -> None:
    with pytest.raises(Invalid, match="multiple IDs found with provided prefix: ab"):
        meant("ab", IDS, NAMES)


@pytest.mark.parametrize("text", ["", "nobody", "/", "e"])
def test_what_nobody_is_called_is_missing(text: str) -> None:
    with pytest.raises(Missing, match=f"No such container: {text}"):
        meant(text, IDS, NAMES)


@pytest.mark.parametrize("name", ["a.b", "0-x", "/with_slash", "x" * 300])
def test_docker_s_names_are_names(name: str) -> None:
    assert checked(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["a", "-ab", ".ab", "a b", "a/b", "//ab", "", "ä1", "ab\n"])
def test_others_are_not(name: str) -> None:
    with pytest.raises(Invalid, match="Invalid container name"):
        checked(name)


def test_a_taken_name_says_whose_it_is() -> None:
    assert 'The container name "/web" is already in use by container "abc".' in (
        conflict("web", "abc").message
    )


@given(st.integers())
def test_law_names_that_are_made_up_are_names_that_nobody_has(seed: int) -> None:
    random, taken = Random(seed), set[str]()
    for _ in range(50):
        name = made_up(random, taken)
        assert checked(name) == name
        assert name not in taken
        taken.add(name)


class Everything:
    """Every name of two words is taken."""

    def __contains__(self, name: object) -> bool:
        return not str(name).startswith("container_")


def test_when_all_words_are_taken_there_is_still_a_name() -> None:
    assert checked(made_up(Random(1), Everything()))


@given(st.integers())
def test_law_ids_are_64_digits_and_begin_with_no_number(seed: int) -> None:
    found = make_id(Random(seed))
    assert len(found) == 64
    assert not found[:12].isdecimal()
    assert make_id(Random(seed), {found}) != found
