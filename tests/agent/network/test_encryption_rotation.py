"""Which secret a pair uses: both sides of it, and what WireGuard would make of their choices."""

from collections.abc import Collection

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.network.encryption_rotation import (
    LONG_PATIENCE_S,
    LOOK_S,
    PATIENCE_S,
    STALE_S,
    Agreement,
    agree,
    is_settled,
    judge,
    patience_s,
)
from agent.network.kernel import TunnelActivity

START = 10_000
RENEWED_AFTER_S, LOST_AFTER_S, ASKED_EVERY_S = 120, 180, 5


def seen(handshake_at: float = 0.0, sent_bytes: int = 0) -> TunnelActivity:
    return TunnelActivity(handshake_at=handshake_at, sent_bytes=sent_bytes)


class Side:
    """One node of a pair, that knows some secrets and looks at times of its own.

    The pair has used the one that is `agreed`; with 0 this side cannot tell.
    """

    def __init__(
        self, numbers: Collection[int], *, patience_s: float, offset: int, agreed: int = 0
    ) -> None:
        self.numbers = set(numbers)
        self.patience_s = patience_s
        self.offset = offset
        first = agree(None, [agreed or max(numbers)], now=0.0)
        self.agreement = agree(replace(first, agreed=agreed), self.numbers, now=0.0)

    def hear(self, number: int, *, now: float, found: TunnelActivity) -> None:
        """A new secret has come; the link is looked at as soon as it is used."""
        self.numbers = {*sorted(self.numbers | {number})[-2:]}
        self.agreement = agree(self.agreement, self.numbers, now=now)
        self.judge(now, found)

    def look(self, now: float, found: TunnelActivity) -> None:
        if (now - self.offset) % LOOK_S == 0 and not is_settled(self.agreement):
            before = self.agreement.number
            self.judge(now, found)
            if self.agreement.number != before:
                self.judge(now, found)

    def judge(self, now: float, found: TunnelActivity) -> None:
        self.agreement = judge(
            self.agreement, self.numbers, found, patience_s=self.patience_s, now=now
        )


def longest_session(
    one: Side, other: Side, *, age_s: int, until: int, heard: tuple[Side, int, int] | None = None
) -> int:
    """Both send all the time. How old their session came to be at most, in seconds.

    As WireGuard does it: from two minutes on, every five seconds somebody asks for a new one,
    which comes to be where both have the same key. At last, `heard` is who hears which secret
    when.
    """
    longest, asked_at, handshake_at = 0, 0, START - age_s
    for now in range(START, START + until):
        longest = max(longest, now - handshake_at)
        if now - handshake_at >= RENEWED_AFTER_S and now - asked_at >= ASKED_EVERY_S:
            asked_at = now
            if one.agreement.number == other.agreement.number:
                handshake_at = now
        found = seen(handshake_at, now * 100)
        if heard is not None and now == START + heard[2]:
            heard[0].hear(heard[1], now=now, found=found)
        for side in (one, other):
            side.look(now, found)
    return longest


OFFSETS = st.integers(0, int(LOOK_S) - 1)


@settings(deadline=None)
@given(OFFSETS, OFFSETS, st.booleans(), st.integers(0, 110))
@example(0, 0, True, 110)
def test_law_a_pair_whose_other_side_has_not_heard_of_a_secret_keeps_its_session(
    one: int, other: int, is_quick: bool, age_s: int
) -> None:
    """Both have used the first one until now; for ten minutes only one of them knows the second."""
    patience = (PATIENCE_S, LONG_PATIENCE_S) if is_quick else (LONG_PATIENCE_S, PATIENCE_S)
    knows = Side({1, 2}, patience_s=patience[0], offset=one, agreed=1)
    lags = Side({0, 1}, patience_s=patience[1], offset=other, agreed=1)

    longest = longest_session(knows, lags, age_s=age_s, until=600)

    assert longest < LOST_AFTER_S
    assert lags.agreement.number == 1


@settings(deadline=None)
@given(OFFSETS, OFFSETS, st.integers(0, 110), st.integers(1, 400))
def test_law_once_both_know_a_secret_they_use_it(
    one: int, other: int, age_s: int, heard_at: int
) -> None:
    first = Side({1, 2}, patience_s=PATIENCE_S, offset=one, agreed=1)
    second = Side({1}, patience_s=LONG_PATIENCE_S, offset=other, agreed=1)

    longest = longest_session(first, second, age_s=age_s, until=900, heard=(second, 2, heard_at))

    assert longest < LOST_AFTER_S
    assert first.agreement.number == second.agreement.number == 2
    assert is_settled(first.agreement)
    assert is_settled(second.agreement)


@settings(deadline=None)
@given(OFFSETS, OFFSETS, st.booleans(), st.sampled_from([({1, 2}, {0, 1}), ({1, 2}, {1})]))
def test_law_strangers_with_a_secret_in_common_meet(
    one: int, other: int, is_quick: bool, known: tuple[set[int], set[int]]
) -> None:
    """Neither knows what the other one has, as after agents that were restarted."""
    patience = (PATIENCE_S, LONG_PATIENCE_S) if is_quick else (LONG_PATIENCE_S, PATIENCE_S)
    sides = [
        Side(numbers, patience_s=each, offset=offset)
        for numbers, each, offset in zip(known, patience, (one, other), strict=True)
    ]

    longest = longest_session(*sides, age_s=LOST_AFTER_S, until=600)

    assert longest - LOST_AFTER_S <= 3 * LONG_PATIENCE_S
    assert sides[1].agreement.number == 1


def test_a_pair_that_does_not_speak_stays_with_the_newest() -> None:
    """Nothing is asked for, so nothing has failed."""
    quiet = replace(agree(None, {1, 2}, now=0.0), agreed=1, seen=seen(handshake_at=1.0))

    after = judge(quiet, {1, 2}, seen(handshake_at=1.0), patience_s=PATIENCE_S, now=9999.0)

    assert after == quiet


def test_a_session_that_is_young_enough_is_no_failure() -> None:
    busy = replace(agree(None, {1, 2}, now=0.0), agreed=1, seen=seen(100.0, 5))

    later = judge(busy, {1, 2}, seen(100.0, 9), patience_s=PATIENCE_S, now=100.0 + STALE_S)
    too_late = judge(busy, {1, 2}, seen(100.0, 9), patience_s=PATIENCE_S, now=101.0 + STALE_S)

    assert later.number == 2
    assert too_late.number == 1


def test_a_handshake_before_the_first_look_proves_nothing() -> None:
    fresh = agree(None, {1, 2}, now=0.0)

    noted = judge(fresh, {1, 2}, seen(50.0), patience_s=PATIENCE_S, now=51.0)

    assert not is_settled(noted)
    assert is_settled(judge(noted, {1, 2}, seen(60.0), patience_s=PATIENCE_S, now=61.0))


def test_secrets_from_a_backup_are_news_though_their_numbers_are_lower() -> None:
    used = Agreement(number=9, newest=9, since=0.0, agreed=9)

    after = agree(used, {4, 5}, now=7.0)

    assert (after.number, after.newest, after.since) == (5, 5, 7.0)
    assert not is_settled(after)


def test_of_two_sides_one_is_the_patient_one() -> None:
    assert {patience_s(b"a", b"b"), patience_s(b"b", b"a")} == {PATIENCE_S, LONG_PATIENCE_S}
