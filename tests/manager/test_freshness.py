from hypothesis import given
from hypothesis import strategies as st

from manager.freshness import Freshness


def test_what_is_not_newer_than_what_is_known_is_an_echo() -> None:
    freshness = Freshness()
    freshness.learn("k", 5)

    assert not freshness.is_new("k", 5, ahead=False)
    assert not freshness.is_new("k", 4, ahead=False)
    assert freshness.is_new("k", 6, ahead=False)


def test_a_buried_key_is_forgotten_once_the_watch_has_passed() -> None:
    freshness = Freshness()
    freshness.learn("k", 5)
    assert freshness.bury("k", 7)

    assert not freshness.is_new("k", 6, ahead=False)
    freshness.pass_by(7)

    freshness.check()
    assert freshness.version("k") == 0
    assert not freshness.is_new("k", 7, ahead=True)
    assert freshness.is_new("k", 8, ahead=True)


def test_a_listing_must_contain_what_is_older_than_it() -> None:
    freshness = Freshness()
    freshness.learn("old", 5)
    freshness.learn("ours", 9)

    assert freshness.older_than(7) == ["old"]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12), st.randoms())
def test_law_the_order_in_which_changes_are_seen_does_not_matter(
    history: list[tuple[bool, bool]], random
) -> None:
    """A key's history of puts and deletions; some are ours and may be seen ahead, in any order."""
    freshness = Freshness()
    value: int | None = None

    def see(revision: int, is_put: bool, *, ahead: bool) -> None:
        nonlocal value
        if freshness.is_new("k", revision, ahead=ahead):
            value = revision if is_put else None
            if is_put:
                freshness.learn("k", revision)
            else:
                freshness.bury("k", revision)

    for revision, (is_put, _) in enumerate(history, start=1):
        ours = [at for at in range(1, len(history) + 1) if history[at - 1][1]]
        for at in random.sample(ours, min(2, len(ours))):
            see(at, history[at - 1][0], ahead=True)
        see(revision, is_put, ahead=False)
        freshness.pass_by(revision)
        freshness.check()

    last = len(history)
    assert value == (last if history and history[-1][0] else None)
