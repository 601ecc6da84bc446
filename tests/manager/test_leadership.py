from hypothesis import given
from hypothesis import strategies as st

from manager.election import (
    Announce,
    Await,
    Claim,
    Claimed,
    Claiming,
    Deposed,
    Effect,
    Elected,
    Event,
    Failed,
    Followed,
    Following,
    Forestalled,
    Grant,
    Granted,
    Granting,
    Holder,
    Lapsed,
    Leading,
    Look,
    Looking,
    Release,
    Renew,
    RenewalFailed,
    Renewed,
    Resigned,
    Revoke,
    Revoked,
    Seen,
    Ticked,
    Vacated,
    Withdrawn,
    pack_holder,
    read_holder,
)
from manager.leadership import Leadership, enter, step
from manager.store import Fence, Lease, LeaseId
from swarm.ids import NodeId

ME, OTHER = NodeId("me"), NodeId("other")
TTL_S = 4
LEASE = Lease(LeaseId(7), TTL_S)
FENCE = Fence("leader", 10)


def holder(node_id: NodeId = OTHER, lease: int = 5) -> Holder:
    return Holder(node_id, LeaseId(lease), "10.0.0.9:2377")


def play(state: Leadership, *events: tuple[float, Event]) -> tuple[Leadership, list[Effect]]:
    """Let events happen at their times; the effects of the last one."""
    effects: tuple[Effect, ...] = ()
    for now, event in events:
        state, effects = step(state, event, now=now)
        state.check()
    return state, list(effects)


def entered() -> Leadership:
    state, effects = enter(node_id=ME, address="10.0.0.1:2377", ttl_s=TTL_S)
    assert effects == (Look(),)
    return state


def leading(at: float = 0.0) -> Leadership:
    granted = Granted(LEASE, sent_at=at)
    state, _ = play(entered(), (at, Seen(None)), (at, granted), (at, Claimed(10)))
    assert isinstance(state.standing, Leading)
    return state


def test_where_nobody_leads_we_claim_and_lead() -> None:
    """A first manager starts.

    1. It looks, and finds no key.
    2. It opens a lease, and claims the key with it.
    3. Elected, it waits for the loss of the key, and its fence is the key's create revision.
    """
    state, effects = play(entered(), (0.0, Seen(None)))
    assert effects == [Grant(TTL_S)]
    state, effects = play(state, (0.1, Granted(LEASE, sent_at=0.0)))
    assert effects == [Claim(Holder(ME, LEASE.id, "10.0.0.1:2377"))]

    state, effects = play(state, (0.2, Claimed(10)))

    assert effects == [Announce(Elected(FENCE)), Await(10)]


def test_where_another_leads_we_follow_and_claim_once_it_is_gone() -> None:
    state, effects = play(entered(), (0.0, Seen(holder(), 9)))
    assert effects == [Announce(Followed(holder())), Await(9)]

    state, effects = play(state, (50.0, Vacated(9)))

    assert effects == [Grant(TTL_S)]


def test_forestalled_we_follow_the_winner_and_drop_our_lease() -> None:
    granted = Granted(LEASE, sent_at=0.0)

    state, effects = play(entered(), (0.0, Seen(None)), (0.0, granted), (0.0, Forestalled()))

    assert effects == [Release(LEASE.id), Look()]
    state, effects = play(state, (0.0, Seen(holder(), 11)))
    assert state.standing == Following(11)


def test_time_is_counted_from_when_the_lease_was_asked_for() -> None:
    state = leading(at=100.0)

    assert isinstance(state.standing, Leading)
    assert state.standing.ends_at == 103.5
    state, effects = play(state, (101.4, Ticked()))
    assert effects == [Renew(LEASE.id, timeout_s=1.0)]
    state, _ = play(state, (102.3, Renewed(LEASE.id, TTL_S, sent_at=101.4)))
    assert isinstance(state.standing, Leading)
    assert state.standing.ends_at == 101.4 + 3.5


def test_a_renewal_without_answer_is_tried_again_until_the_time_is_over() -> None:
    """etcd stops answering.

    1. A renewal fails; soon another one is sent.
    2. It fails too, and so on. Nobody else can lead yet, so we go on.
    3. An eighth before the lease may end, we stop, whatever is under way.
    """
    state, effects = play(leading(), (1.4, Ticked()), (2.4, RenewalFailed(LEASE.id)))
    assert not effects
    assert state.next_deadline == 2.6
    state, effects = play(state, (2.6, Ticked()))
    assert effects == [Renew(LEASE.id, timeout_s=1.0)]
    assert state.next_deadline == 3.5

    state, effects = play(state, (3.5, Ticked()))

    news = Announce(Deposed("the lease could not be renewed in time"))
    assert effects == [news, Release(LEASE.id), Look()]
    late = Renewed(LEASE.id, TTL_S, sent_at=2.6)
    assert play(state, (3.6, late)) == (state, [])


def test_a_lapsed_lease_or_a_lost_key_ends_it_at_once() -> None:
    for event in (Lapsed(LEASE.id), Vacated(10)):
        state, effects = play(leading(), (1.0, event))

        assert isinstance(state.standing, Looking)
        assert isinstance(effects[0], Announce)
        assert isinstance(effects[0].news, Deposed)


def test_what_is_said_of_earlier_terms_is_ignored() -> None:
    state = leading()

    for event in (
        Lapsed(LeaseId(3)),
        Vacated(4),
        RenewalFailed(LeaseId(3)),
        Renewed(LeaseId(3), 60, sent_at=0.5),
        Failed(),
        Seen(holder(), 4),
        Forestalled(),
    ):
        assert play(state, (1.0, event)) == (state, [])


def test_a_manager_that_was_killed_takes_its_own_key_back_at_once() -> None:
    """kill -9, and a new process starts before the old lease ended.

    1. It finds the key of its own earlier life.
    2. It revokes that life's lease, which removes the key, and claims as usual.
    """
    state, effects = play(entered(), (0.0, Seen(holder(ME, lease=5), 9)))
    assert effects == [Revoke(LeaseId(5))]

    state, effects = play(state, (0.0, Revoked(LeaseId(5))))

    assert effects == [Grant(TTL_S)]


def test_reclaiming_is_tried_until_it_is_answered() -> None:
    found = Seen(holder(ME, lease=5), 9)

    state, effects = play(entered(), (0.0, found), (1.0, Failed()), (1.1, Ticked()))

    assert effects == [Look()]
    assert play(state, (1.1, found))[1] == [Revoke(LeaseId(5))]


def test_a_key_in_our_name_is_not_reclaimed_later_on() -> None:
    """Two processes were given one identity; they must not depose each other for ever."""
    state, _ = play(leading(), (1.0, Vacated(10)))

    state, effects = play(state, (1.0, Seen(holder(ME, lease=8), 12)))

    assert state.standing == Following(12)
    assert Revoke(LeaseId(8)) not in effects


def test_a_claim_without_answer_that_stands_makes_us_leader() -> None:
    granted, mine = Granted(LEASE, sent_at=0.0), holder(ME, lease=LEASE.id)
    state, _ = play(entered(), (0.0, Seen(None)), (0.0, granted), (1.0, Failed()))
    assert state.next_deadline == 1.1

    state, effects = play(state, (1.1, Ticked()), (1.2, Seen(mine, 10)))

    assert effects == [Announce(Elected(FENCE)), Await(10)]
    assert isinstance(state.standing, Leading)
    assert state.standing.ends_at == 3.5


def test_a_claim_without_answer_that_is_found_too_late_is_given_up() -> None:
    granted, mine = Granted(LEASE, sent_at=0.0), holder(ME, lease=LEASE.id)
    state, _ = play(entered(), (0.0, Seen(None)), (0.0, granted), (3.4, Failed()))

    state, effects = play(state, (3.5, Ticked()), (3.6, Seen(mine, 10)))

    assert effects == [Release(LEASE.id)]
    assert isinstance(state.standing, Looking)
    assert state.next_deadline


def test_a_claim_without_answer_that_does_not_stand_can_never_land() -> None:
    granted = Granted(LEASE, sent_at=0.0)
    state, _ = play(entered(), (0.0, Seen(None)), (0.0, granted), (1.0, Failed()))

    state, effects = play(state, (1.1, Ticked()), (1.2, Seen(None)))

    assert effects == [Release(LEASE.id), Grant(TTL_S)]


def test_looks_that_fail_come_slower_but_never_stop() -> None:
    state, pauses = entered(), list[float]()
    for _ in range(6):
        state, _ = step(state, Failed(), now=0.0)
        assert state.next_deadline is not None
        pauses.append(state.next_deadline)
        state, effects = step(state, Ticked(), now=state.next_deadline)
        assert effects == (Look(),)

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_whoever_resigns_leaves_no_key_and_does_nothing_more() -> None:
    granted = Granted(LEASE, sent_at=0.0)
    claiming, _ = play(entered(), (0.0, Seen(None)), (0.0, granted))
    assert isinstance(claiming.standing, Claiming)

    led, was_leading = play(leading(), (1.0, Withdrawn()))
    claimed, was_claiming = play(claiming, (1.0, Withdrawn()))
    _, was_looking = play(entered(), (1.0, Withdrawn()))

    assert was_leading == [Announce(Deposed("it resigned")), Release(LEASE.id)]
    assert was_claiming == [Release(LEASE.id)]
    assert not was_looking
    for state in (led, claimed):
        assert state.standing == Resigned()
        assert play(state, (2.0, Claimed(10))) == (state, [])


def test_a_holder_survives_the_wire_and_nonsense_is_not_one() -> None:
    assert read_holder(pack_holder(holder())) == holder()
    assert read_holder(b"\xff") is None
    _, effects = play(entered(), (0.0, Seen(None, 9)))
    assert effects == [Await(9)]


events = st.one_of(
    st.builds(
        Seen,
        st.one_of(st.none(), st.builds(holder, st.sampled_from([ME, OTHER]), st.integers(5, 8))),
        st.integers(0, 12),
    ),
    st.builds(Granted, st.builds(Lease, st.integers(5, 8), st.just(TTL_S)), st.floats(0, 30)),
    st.builds(Claimed, st.integers(9, 12)),
    st.builds(Vacated, st.integers(9, 12)),
    st.builds(Renewed, st.integers(5, 8), st.just(TTL_S), st.floats(0, 30)),
    st.builds(RenewalFailed, st.integers(5, 8)),
    st.builds(Lapsed, st.integers(5, 8)),
    st.builds(Revoked, st.integers(5, 8)),
    st.sampled_from([Forestalled(), Failed(), Ticked(), Ticked(), Withdrawn()]),
)


@given(st.lists(st.tuples(st.floats(0, 2), events), max_size=30))
def test_law_elections_and_depositions_take_turns(told: list[tuple[float, Event]]) -> None:
    state, now, in_office = entered(), 0.0, False
    for passed, event in told:
        now += passed
        state, effects = step(state, event, now=now)
        if isinstance(state.standing, Leading):
            state.check()
        for effect in effects:
            if isinstance(effect, Announce) and isinstance(effect.news, Elected):
                assert not in_office
                in_office = True
            if isinstance(effect, Announce) and isinstance(effect.news, Deposed):
                assert in_office
                in_office = False
        assert in_office == isinstance(state.standing, Leading)


@given(st.lists(st.tuples(st.floats(0, 2), events), max_size=30))
def test_law_no_tick_leaves_us_leading_past_our_time(told: list[tuple[float, Event]]) -> None:
    state, now = entered(), 0.0
    for passed, event in told:
        now += passed
        state, _ = step(state, event, now=now)
        state, _ = step(state, Ticked(), now=now)
        assert not isinstance(state.standing, Leading) or now < state.standing.ends_at


def test_granting_that_fails_starts_over() -> None:
    state, _ = play(entered(), (0.0, Seen(None)))
    assert state.standing == Granting()

    state, _ = play(state, (0.0, Failed()))

    assert state.next_deadline == 0.1
