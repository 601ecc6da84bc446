"""What a node knows of its networks, message by message."""

from hypothesis import given
from hypothesis import strategies as st

from agent.topology import Backlog, Changes, Table
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Network
from swarm.topology import (
    Endpoint,
    NetworkKey,
    Peer,
    Publication,
    Record,
    Topology,
    VirtualService,
    key_of,
    topology_of,
)

NET, WEB = NetworkId("n1"), ServiceId("web")
NETWORK = Network(id=NET, vni=4097)


def endpoint(name: str, *, is_serving: bool = True, network: str = NET) -> Endpoint:
    return Endpoint(
        network_id=NetworkId(network), task_id=TaskId(name), service_id=WEB, is_serving=is_serving
    )


def table(*endpoints: Endpoint) -> Table:
    found = Table()
    found.take(Topology(is_complete=True, networks=(NETWORK,), endpoints=endpoints))
    return found


def test_what_others_refer_to_comes_first_and_goes_last() -> None:
    held = Table()
    peer = Peer(node_id=NodeId("b"), number=2)
    publication = Publication(service_id=WEB)
    everything = Topology(
        is_complete=True,
        networks=(NETWORK,),
        peers=(peer,),
        endpoints=(endpoint("a"),),
        publications=(publication,),
    )

    came = held.take(everything)
    went = held.take(Topology(is_complete=True))

    assert came == Changes(put=(NETWORK, peer, endpoint("a"), publication))
    assert went == Changes(gone=(publication, endpoint("a"), peer, NETWORK))
    assert not held.records


def test_after_a_reconnection_only_differences_count() -> None:
    held = table(endpoint("a"), endpoint("b"))

    changed = endpoint("b", is_serving=False)
    found = held.take(Topology(is_complete=True, networks=(NETWORK,), endpoints=(changed,)))

    assert found == Changes(put=(changed,), gone=(endpoint("a"),))


def test_nothing_said_is_nothing_changed() -> None:
    held = table(endpoint("a"))

    assert not held.take(Topology())
    assert not held.take(Topology(endpoints=(endpoint("a"),), removed=("endpoint/n1/z",)))
    assert not held.take(Topology(networks=(NETWORK,), removed=(key_of(NETWORK),)))


def test_the_port_of_the_data_path_is_told_when_it_changes() -> None:
    held = Table()

    assert held.take(Topology(data_path_port=4789)) == Changes(data_path_port=4789)
    assert not held.take(Topology(is_complete=True))
    assert held.take(Topology(is_complete=True, data_path_port=4790)).data_path_port == 4790


def test_a_task_is_relieved_while_another_of_its_service_answers() -> None:
    held = table(endpoint("a"), endpoint("b"), endpoint("c", network="n2"))
    assert held.is_relieved(TaskId("a"))
    assert not held.is_relieved(TaskId("c")), "nobody else answers in its network"

    held.take(Topology(endpoints=(endpoint("a", is_serving=False),)))
    assert held.is_relieved(TaskId("a")), "it is told with its own end"

    held.take(Topology(endpoints=(endpoint("b", is_serving=False),)))
    assert not held.is_relieved(TaskId("a"))
    assert not held.is_relieved(TaskId("unknown"))


IDS = st.sampled_from("abc")
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(Network, id=IDS, vni=st.integers(1, 2)),
    st.builds(Peer, node_id=IDS, number=st.integers(1, 2)),
    st.builds(NetworkKey, number=st.integers(1, 3)),
    st.builds(VirtualService, network_id=IDS, service_id=IDS),
    st.builds(
        Endpoint, network_id=IDS, task_id=IDS, service_id=IDS, is_serving=st.booleans()
    ),
    st.builds(Publication, service_id=IDS),
)  # fmt: skip
MESSAGES = st.lists(st.tuples(st.booleans(), st.lists(RECORDS), st.lists(RECORDS)), max_size=8)


def topology(is_complete: bool, records: list[Record], removed: list[Record]) -> Topology:
    gone = () if is_complete else map(key_of, removed)
    return topology_of(records, removed=gone, is_complete=is_complete)


def test_what_comes_and_goes_while_nobody_follows_is_never_heard_of() -> None:
    backlog = Backlog()
    backlog.add(Changes(put=(endpoint("a"), NETWORK)))
    assert backlog.take() == Changes(put=(NETWORK, endpoint("a")))

    backlog.add(Changes(put=(endpoint("b"), endpoint("a", is_serving=False))))
    backlog.add(Changes(gone=(endpoint("b"), endpoint("a", is_serving=False)), data_path_port=7))

    assert backlog.take() == Changes(gone=(endpoint("a"),), data_path_port=7)
    assert not backlog.take()


@given(MESSAGES, st.lists(st.booleans()))
def test_law_whoever_follows_now_and_then_ends_where_the_table_is(
    messages: list[tuple[bool, list[Record], list[Record]]], pauses: list[bool]
) -> None:
    held, backlog, followed = Table(), Backlog(), dict[str, Record]()

    for number, message in enumerate(messages):
        backlog.add(held.take(topology(*message)))
        if number < len(pauses) and pauses[number] and number + 1 < len(messages):
            continue
        changes = backlog.take()
        for each in changes.gone:
            assert followed.pop(key_of(each)) == each
        for each in changes.put:
            assert followed.get(key_of(each)) != each
            followed[key_of(each)] = each
        assert followed == held.records


@given(MESSAGES)
def test_law_changes_lead_from_one_table_to_the_next(
    messages: list[tuple[bool, list[Record], list[Record]]],
) -> None:
    held, followed = Table(), dict[str, Record]()

    for message in messages:
        said = topology(*message)
        model = {} if said.is_complete else {
            key: each for key, each in followed.items() if key not in said.removed
        }  # fmt: skip
        model |= {key_of(each): each for each in said.records()}

        changes = held.take(said)

        for each in changes.gone:
            assert followed.pop(key_of(each)) == each
        for each in changes.put:
            assert followed.get(key_of(each)) != each
            followed[key_of(each)] = each
        assert followed == model == held.records
        held.check()


def test_a_network_is_found_by_its_id_while_it_is_known() -> None:
    table, one = Table(), Network(id=NetworkId("n1"))
    table.take(Topology(networks=(one,), is_complete=True))

    assert table.network(NetworkId("n1")) == one

    table.take(Topology(is_complete=True))
    assert table.network(NetworkId("n1")) is None
