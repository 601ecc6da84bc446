"""Records in the order in which they changed, for readers that come by now and then."""

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.dispatch.bulletins import FEW, Bulletin, News
from swarm.ids import NodeId
from swarm.topology import Peer, key_of


def peer(name: str, number: int = 1) -> Peer:
    return Peer(node_id=NodeId(name), number=number)


def put(bulletin: Bulletin, record: Peer) -> bool:
    return bulletin.put(key_of(record), record)


def test_a_reader_hears_of_each_record_once_and_as_it_is_now() -> None:
    bulletin = Bulletin()
    put(bulletin, peer("a"))
    read = bulletin.latest
    put(bulletin, peer("b", 2))
    put(bulletin, peer("a", 3))
    put(bulletin, peer("b", 4))

    assert bulletin.since(read) == News((peer("a", 3), peer("b", 4)))
    assert bulletin.since(bulletin.latest) == News()


def test_what_stays_as_it_was_is_no_news() -> None:
    bulletin = Bulletin()

    assert put(bulletin, peer("a"))
    assert not put(bulletin, peer("a"))
    assert not bulletin.drop("peer/b")
    assert bulletin.latest == 1


def test_what_came_and_went_is_told_as_gone() -> None:
    bulletin = Bulletin()
    put(bulletin, peer("a"))
    bulletin.drop("peer/a")

    assert bulletin.since(0) == News((), ("peer/a",))


def test_what_is_gone_is_forgotten_when_it_is_more_than_what_is_there() -> None:
    bulletin = Bulletin()
    for number in range(5 * FEW):
        put(bulletin, peer(f"n{number}"))
        bulletin.drop(f"peer/n{number}")

    assert bulletin.since(0) is None
    assert bulletin.since(bulletin.latest - 1) == News((), (f"peer/n{5 * FEW - 1}",))
    bulletin.check()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "read"]), st.integers(0, 5))))
def test_law_a_reader_that_comes_by_knows_what_is_there(steps: list[tuple[str, int]]) -> None:
    bulletin, known, read = Bulletin(), dict[str, object](), 0
    for step, (what, number) in enumerate([*steps, ("read", 0)]):
        match what:
            case "put":
                put(bulletin, peer(f"n{number}", step))
            case "drop":
                bulletin.drop(f"peer/n{number}")
            case _:
                news = bulletin.since(read)
                assert news is not None
                assert not {key_of(each) for each in news.put} & set(news.gone)
                known.update({key_of(each): each for each in news.put})
                for key in news.gone:
                    known.pop(key, None)
                read = bulletin.latest
                assert known == bulletin.records
        bulletin.check()
