from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.specs import Role
from swarmd.identity import (
    LAST_RETRY_S,
    LEAST_RETRY_S,
    Ask,
    Failed,
    Granted,
    Install,
    Installed,
    Report,
    Woke,
    begin,
    check,
    next_deadline,
    step,
)
from tests.trust import DAY_S, Swarm

NOW = 1_800_000_000.0


def test_renewal_asks_once_it_is_due_and_starts_over_once_installed() -> None:
    """The story of one renewal.

    1. Before half of its life nothing happens.
    2. When it is due, a manager is asked, once.
    3. The answer is installed before we count on it.
    4. The next renewal is planned from the new certificate.
    """
    swarm, random = Swarm(NOW), Random(1)
    renewal = begin(swarm.node(), random=random)
    due = next_deadline(renewal)
    assert due is not None
    assert NOW + 0.3 * 90 * DAY_S < due < NOW + 0.5 * 90 * DAY_S

    assert step(renewal, Woke(), now=due - 1, random=random) == (renewal, ())
    asking, effects = step(renewal, Woke(), now=due, random=random)
    assert effects == (Ask(),)
    assert next_deadline(asking) is None
    assert step(asking, Woke(), now=due + 1, random=random) == (asking, ())

    swarm.now = due
    renewed = swarm.node()
    installing, effects = step(asking, Granted(renewed), now=due, random=random)
    assert effects == (Install(renewed),)
    assert installing == asking

    again, effects = step(installing, Installed(renewed), now=due, random=random)
    assert effects == ()
    assert again.due > due + 0.3 * 90 * DAY_S
    assert again.attempts == 0


def test_a_full_disk_keeps_the_old_certificate_in_mind() -> None:
    swarm, random = Swarm(NOW), Random(1)
    old = begin(swarm.node(), random=random)
    asking, _ = step(old, Woke(), now=old.due, random=random)
    swarm.now = old.due
    asking, _ = step(asking, Granted(swarm.node()), now=old.due, random=random)

    after, effects = step(asking, Failed("disk full"), now=old.due, random=random)

    assert after.subject == old.subject
    assert after.attempts == 1
    assert [type(each) for each in effects] == [Report]


def test_a_certificate_of_someone_else_is_not_installed() -> None:
    swarm, random = Swarm(NOW), Random(1)
    asking, _ = step(
        begin(swarm.node(), random=random), Woke(), now=NOW + 45 * DAY_S, random=random
    )
    swarm.now += 45 * DAY_S

    after, effects = step(
        asking, Granted(swarm.node(node_id="node2")), now=swarm.now, random=random
    )

    (report,) = effects
    assert isinstance(report, Report)
    assert "certificate of node2 instead of node1" in report.reason
    assert not after.is_asking


def test_a_certificate_that_gains_no_time_is_not_installed_unless_the_role_changed() -> None:
    swarm, random = Swarm(NOW), Random(1)
    ours = swarm.node()
    asking, _ = step(begin(ours, random=random), Woke(), now=NOW + 45 * DAY_S, random=random)

    _, kept = step(asking, Granted(ours), now=NOW + 45 * DAY_S, random=random)
    promoted = swarm.node(Role.MANAGER)
    _, taken = step(asking, Granted(promoted), now=NOW + 45 * DAY_S, random=random)

    assert isinstance(kept[0], Report)
    assert taken == (Install(promoted),)


def test_a_manager_that_is_away_is_asked_ever_less_often_until_the_end_nears() -> None:
    swarm, random = Swarm(NOW), Random(1)
    renewal = begin(swarm.node(), random=random)
    waits: list[float] = []
    now = renewal.due
    while now < renewal.subject.not_after:
        renewal, _ = step(renewal, Woke(), now=now, random=random)
        renewal, (report,) = step(renewal, Failed("no manager"), now=now, random=random)
        assert isinstance(report, Report)
        check(renewal)
        waits.append(report.retry_s)
        now = renewal.due

    assert waits[0] <= 15
    assert max(waits) > LAST_RETRY_S / 2
    assert waits[-1] < 60
    assert len(waits) < 2_000


@settings(max_examples=50)
@given(st.lists(st.floats(0, 10**7), min_size=1, max_size=40), st.integers())
def test_law_retries_are_never_too_fast_nor_too_slow(delays: list[float], seed: int) -> None:
    random = Random(seed)
    renewal = begin(Swarm(NOW).node(), random=random)
    now = renewal.due
    for delay in delays:
        renewal, _ = step(renewal, Woke(), now=now, random=random)
        renewal, _ = step(renewal, Failed("no"), now=now, random=random)
        check(renewal)
        assert renewal.due - now + 1e-6 >= LEAST_RETRY_S
        assert renewal.due - now <= LAST_RETRY_S + 1e-6
        now = max(renewal.due, now + delay)
