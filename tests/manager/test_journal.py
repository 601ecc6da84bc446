from manager.journal import Journal
from swarm.objects import Event


def events(*times: float) -> list[Event]:
    return [Event(at=at, kind="task", action="create") for at in times]


def test_each_reader_keeps_its_own_place() -> None:
    journal = Journal()
    journal.add(events(1.0, 2.0))
    place = journal.last
    journal.add(events(3.0))

    assert [each.at for each in journal.after(place)[0]] == [3.0]
    assert [each.at for each in journal.after(0)[0]] == [1.0, 2.0, 3.0]


def test_a_reader_that_is_too_slow_learns_how_much_it_missed() -> None:
    journal = Journal(kept=2)
    journal.add(events(1.0, 2.0, 3.0, 4.0, 5.0))

    found, forgotten = journal.after(1)

    assert [each.at for each in found] == [4.0, 5.0]
    assert forgotten == 2


def test_history_reaches_back_to_a_time() -> None:
    journal = Journal()
    journal.add(events(1.0, 2.0, 3.0))

    assert [each.at for each in journal.since(2.0)] == [2.0, 3.0]
