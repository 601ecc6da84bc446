"""Questions to other servers: who is asked when, and who is told what."""

from collections.abc import Sequence
from random import Random

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dns import wire
from agent.dns.cache import Cache
from agent.dns.forwarding import (
    MOST_QUESTIONS,
    MOST_WAITING,
    SLOW_S,
    TOTAL_S,
    TRY_S,
    Caller,
    Drop,
    Effect,
    Forwarding,
    Send,
    Tell,
)
from swarm.ids import TaskId
from tests.agent.dns.questions import ask, read, reply, values

ONE, TWO, THREE = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A = "a.org. 60 A 1.2.3.4"


def forwarding() -> Forwarding:
    return Forwarding(Cache(most_bytes=100_000), Random(7))


def caller(name: str = "a.org", *, task: str = "t1", port: int = 5, ident: int = 1) -> Caller:
    query = read(name, ident=ident)
    return Caller(TaskId(task), ("127.0.0.1", port), query, 512)


def sent(effects: Sequence[Effect]) -> list[Send]:
    return [each for each in effects if isinstance(each, Send)]


def told(effects: Sequence[Effect]) -> list[Tell]:
    return [each for each in effects if isinstance(each, Tell)]


def only(effects: Sequence[Effect]) -> Send:
    (found,) = sent(effects)
    return found


def begin(made: Forwarding, *servers: str, who: Caller | None = None, now: float = 0.0) -> Send:
    return only(made.ask(who or caller(), "", servers or (ONE, TWO), now))


def test_an_answer_reaches_everybody_who_asked_the_same() -> None:
    """1. Two containers ask, the second while the first still waits.

    2. The server is asked once, and answers.
    3. Both are told, each with its own id; whoever asks next is told at once.
    """
    made = forwarding()
    attempt = begin(made)
    assert made.ask(caller(task="t2", ident=2), "", (ONE,), 0.1) == []

    effects = made.heard(attempt.attempt, reply(attempt.packet, A), 0.2)

    assert effects[0] == Drop(attempt.attempt)
    assert [each.packet[:2] for each in told(effects)] == [b"\0\1", b"\0\2"]
    assert all(values(each.packet) == ["1.2.3.4"] for each in told(effects))
    (kept,) = told(made.ask(caller(ident=3), "", (ONE,), 10.0))
    assert kept.was_kept
    assert dns.message.from_wire(kept.packet).answer[0].ttl == 51
    made.check()


def test_a_silent_server_is_joined_by_the_next_and_asked_last_for_a_while() -> None:
    made = forwarding()
    first = begin(made)
    assert made.tick(TRY_S - 0.01) == []

    second = only(made.tick(TRY_S))
    effects = made.heard(second.attempt, reply(second.packet, A), TRY_S + 0.1)

    assert (first.server, second.server) == (ONE, TWO)
    assert {Drop(first.attempt), Drop(second.attempt)} <= set(effects)
    assert begin(made, who=caller("b.org"), now=2.0).server == TWO
    assert begin(made, who=caller("c.org"), now=TRY_S + SLOW_S).server == ONE
    made.check()


def test_a_slow_answer_still_counts_after_the_next_was_asked() -> None:
    made = forwarding()
    first = begin(made)
    made.tick(TRY_S)

    effects = made.heard(first.attempt, reply(first.packet, A), 1.5)

    assert values(told(effects)[0].packet) == ["1.2.3.4"]
    assert begin(made, who=caller("b.org"), now=2.0).server == ONE


def test_if_all_are_silent_it_fails_before_the_caller_asks_again() -> None:
    made = forwarding()
    begin(made)
    asked, now = [ONE], 0.0
    while not (effects := told(all_effects := made.tick(now := now + 0.25))):
        asked += [each.server for each in sent(all_effects)]

    assert asked == [ONE, TWO, ONE, TWO]
    assert now == TOTAL_S < 5
    assert effects[0].is_failure
    assert dns.message.from_wire(effects[0].packet).rcode() == wire.SERVFAIL
    assert made.next_deadline() is None or made.tick(100.0) == []
    made.check()


def test_a_server_that_refuses_or_is_not_there_is_passed_over_at_once() -> None:
    made = forwarding()
    first = begin(made, ONE, TWO, THREE)

    second = only(made.failed(first.attempt, 0.1))
    third = only(made.heard(second.attempt, reply(second.packet, rcode=wire.REFUSED), 0.2))
    effects = made.failed(third.attempt, 0.3)

    assert [first.server, second.server, third.server] == [ONE, TWO, THREE]
    assert dns.message.from_wire(told(effects)[0].packet).rcode() == wire.REFUSED
    assert told(effects)[0].is_failure
    made.check()


def test_a_denial_is_an_answer() -> None:
    made = forwarding()
    attempt = begin(made)
    soa = "org. 900 SOA ns.org. root.org. 1 2 3 4 60"

    effects = made.heard(attempt.attempt, reply(attempt.packet, authority=(soa,), rcode=3), 0.1)

    assert not told(effects)[0].is_failure
    assert dns.message.from_wire(told(effects)[0].packet).rcode() == wire.NXDOMAIN
    assert told(made.ask(caller(ident=2), "", (ONE,), 50.0))[0].was_kept
    assert sent(made.ask(caller(ident=2), "", (ONE,), 61.0))


def test_forged_answers_are_ignored() -> None:
    made = forwarding()
    attempt = begin(made)
    ident = int.from_bytes(attempt.packet[:2], "big")

    for forged in (
        reply(attempt.packet, A, ident=ident ^ 1),
        reply(ask("b.org", ident=ident), "b.org. 60 A 6.6.6.6"),
        attempt.packet,
        b"",
    ):
        assert made.heard(attempt.attempt, forged, 0.1) == []
    effects = made.heard(attempt.attempt, reply(attempt.packet, A), 0.2)

    assert values(told(effects)[0].packet) == ["1.2.3.4"]


def test_what_was_cut_off_is_asked_again_by_tcp() -> None:
    made = forwarding()
    first = begin(made)

    effects = made.heard(first.attempt, reply(first.packet, is_truncated=True), 0.1)
    second = only(effects)
    many = [f"a.org. 60 A 1.2.3.{each}" for each in range(100)]
    last = made.heard(second.attempt, reply(second.packet, *many), 0.2)

    assert effects[0] == Drop(first.attempt)
    assert second.by_tcp
    assert second.server == ONE
    assert dns.message.from_wire(told(last)[0].packet).flags & dns.flags.TC
    by_tcp = caller(ident=2)._replace(place=1, limit=wire.LARGEST_TCP)
    (whole,) = told(made.ask(by_tcp, "", (ONE,), 0.3))
    assert len(values(whole.packet)) == 100


def test_a_broken_stream_is_no_answer() -> None:
    made = forwarding()
    first = begin(made)
    second = only(made.heard(first.attempt, reply(first.packet, is_truncated=True), 0.1))

    third = only(made.heard(second.attempt, b"nonsense", 0.2))

    assert third.server == TWO
    assert not third.by_tcp


def test_without_servers_it_fails_at_once() -> None:
    (effect,) = told(forwarding().ask(caller(), "", (), 0.0))

    assert effect.is_failure


def test_who_repeats_a_question_is_answered_once() -> None:
    made = forwarding()
    attempt = begin(made)

    assert made.ask(caller(), "", (ONE,), 1.0) == []

    assert len(told(made.heard(attempt.attempt, reply(attempt.packet, A), 1.1))) == 1


def test_one_container_cannot_use_up_what_others_need() -> None:
    made = forwarding()
    for each in range(MOST_WAITING):
        begin(made, who=caller(f"n{each}.org"))

    effects = made.ask(caller("more.org"), "", (ONE,), 0.0)

    assert told(effects)[0].is_failure
    assert sent(made.ask(caller("more.org", task="t2"), "", (ONE,), 0.0))
    made.check()


def test_no_more_is_asked_at_once_than_there_are_sockets_for() -> None:
    made = forwarding()
    for each in range(MOST_QUESTIONS):
        begin(made, who=caller(f"n{each}.org", task=f"t{each // MOST_WAITING}"))

    assert told(made.ask(caller("more.org", task="last"), "", (ONE,), 0.0))[0].is_failure
    assert made.ask(caller("n1.org", task="last"), "", (ONE,), 0.0) == []


def test_servers_of_different_containers_are_different_worlds() -> None:
    made = forwarding()
    mine = only(made.ask(caller(task="t1"), "t1", (ONE,), 0.0))
    theirs = only(made.ask(caller(task="t2"), "t2", (ONE,), 0.0))

    effects = made.heard(mine.attempt, reply(mine.packet, A), 0.1)

    assert (mine.scope, theirs.scope) == ("t1", "t2")
    assert [each.caller.task_id for each in told(effects)] == ["t1"]
    assert not told(made.ask(caller(task="t2", ident=9), "t2", (ONE,), 0.2))


def test_a_container_that_is_gone_waits_for_nothing() -> None:
    made = forwarding()
    alone = begin(made, who=caller("a.org", task="t1"))
    shared = begin(made, who=caller("b.org", task="t1"))
    made.ask(caller("b.org", task="t2"), "", (ONE,), 0.0)

    effects = made.leave(TaskId("t1"))

    assert effects == [Drop(alone.attempt)]
    last = told(made.heard(shared.attempt, reply(shared.packet, "b.org. 60 A 1.1.1.1"), 0.1))
    assert [each.caller.task_id for each in last] == ["t2"]
    made.check()


@settings(deadline=None)
@given(st.data())
def test_law_everybody_is_told_once_and_in_time(data: st.DataObject) -> None:
    """Whatever servers do, each caller hears one answer, within `TOTAL_S`."""
    made = forwarding()
    now, asked, answered = 0.0, dict[int, float](), list[int]()
    live = dict[int, Send]()

    def note(effects: list[Effect]) -> None:
        for each in effects:
            match each:
                case Send():
                    assert each.attempt not in live
                    live[each.attempt] = each
                case Drop(attempt=attempt):
                    live.pop(attempt, None)
                case Tell():
                    answered.append(each.caller.query.id)
                    assert now - asked[each.caller.query.id] <= TOTAL_S + 0.6
        made.check()

    for number in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.sampled_from([0.0, 0.01, 0.3, 0.6]))
        note(made.tick(now))
        match data.draw(st.integers(0, 6)):
            case 0 | 1:
                asked[number] = now
                name = data.draw(st.sampled_from(["a.org", "b.org"]))
                task = data.draw(st.sampled_from(["t1", "t2"]))
                who = caller(name, task=task, ident=number)
                scope = data.draw(st.sampled_from(["", task]))
                servers = data.draw(st.lists(st.sampled_from([ONE, TWO, THREE]), max_size=3))
                note(made.ask(who, scope, servers, now))
            case 2 if live:
                note(made.failed(data.draw(st.sampled_from(sorted(live))), now))
            case 3 | 4 if live:
                chosen = live[data.draw(st.sampled_from(sorted(live)))]
                packet = reply(
                    chosen.packet,
                    rcode=data.draw(st.sampled_from([0, 2, 3, 5])),
                    is_truncated=data.draw(st.booleans()),
                    ident=data.draw(st.sampled_from([None, None, 1])),
                )
                note(made.heard(chosen.attempt, packet, now))
            case 5:
                note(made.heard(data.draw(st.integers(0, 99)), data.draw(st.binary()), now))
            case _:
                pass
    while (due := made.next_deadline()) is not None:
        now = max(now, due)
        note(made.tick(now))

    assert sorted(answered) == sorted(asked)
    assert not live
