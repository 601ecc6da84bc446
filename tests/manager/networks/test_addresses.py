"""Who holds which address, as the view tells it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from manager import layout
from manager.applied import Applied
from manager.networks.addresses import Addresses, Shortage
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Attachment, ServiceEndpoint, Task, VirtualAddress
from swarm.states import TaskState
from tests.manager.world import World

WEB = ServiceId("s-web")
WHATS = ["start", "start", "waste", "end", "forget", "lead", "admit", "release"]
WISHES = st.one_of(
    st.just(()),
    st.tuples(st.sampled_from([f"10.{net}.0.{at}" for net in (8, 9) for at in range(9)])),
)


class Followed(World):
    """A world, and addresses in step with it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses = Addresses.of(self.view)
        self.count = 0
        self.node("a")

    def write(self, *pairs: object, ahead: bool = False) -> Applied:
        applied = super().write(*pairs, ahead=ahead)
        if hasattr(self, "addresses"):
            self.addresses.sync(self.view, applied)
            self.addresses.check(self.view)
        return applied

    def start(
        self, *networks: NetworkId, service: str = "web", node_id: str = "a"
    ) -> Task | Shortage:
        """Give a task of a service what it needs, as a plan does that is committed."""
        self.addresses.begin()
        found = self.addresses.attach(dict.fromkeys(networks, ()), service)
        if isinstance(found, Shortage):
            return found
        self.count += 1
        task = Task(
            id=TaskId(f"t{self.count}"),
            service_id=ServiceId(f"s-{service}"),
            service_name=service,
            node_id=NodeId(node_id),
            attachments=found,
            created_at=self.now + self.count,
        )
        self.task(task)
        return task

    def admit(self, network_id: NetworkId, *wanted: str) -> tuple[str, ...] | Shortage:
        """Let a container in, as a plan does that is committed."""
        self.addresses.begin()
        self.count += 1
        found = self.addresses.admit(network_id, f"c{self.count}", wanted)
        if not isinstance(found, Shortage):
            self.guest(f"c{self.count}", network_id, *found)
        return found


def started(found: Task | Shortage) -> Task:
    assert isinstance(found, Task), found
    return found


def addresses_of(task: Task | Shortage) -> list[str]:
    return [text for each in started(task).attachments for text in each.addresses]


def test_a_task_gets_an_address_of_each_family_in_each_network() -> None:
    world = Followed()
    back = world.network("back", subnet6="fd00::/64")
    front = world.network("front", subnet="10.8.0.0/24")

    task = started(world.start(back, front))

    assert task.attachments == (
        Attachment(network_id=back, addresses=("10.9.0.2", "fd00::2")),
        Attachment(network_id=front, addresses=("10.8.0.2",)),
    )


def test_an_address_is_held_until_its_task_is_known_to_have_ended() -> None:
    world = Followed()
    net = world.network(subnet="10.9.0.0/30")
    task = started(world.start(net))

    world.task(Task(**{**as_fields(task), "desired": TaskState.SHUTDOWN}))
    world.report(task, TaskState.RUNNING)
    assert isinstance(world.start(net), Shortage)

    world.report(task, TaskState.FAILED)
    assert addresses_of(world.start(net)) == ["10.9.0.2"]


def as_fields(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


def test_the_address_of_a_removed_task_is_free() -> None:
    world = Followed()
    net = world.network(subnet="10.9.0.0/30")
    task = started(world.start(net))

    world.write((layout.task_key(task.service_id, task.id), None))

    assert addresses_of(world.start(net)) == ["10.9.0.2"]


def test_the_address_of_a_task_whose_node_left_is_free() -> None:
    """Nobody reaches it there any more, and what follows it may have to wait for its address."""
    world = Followed()
    net = world.network(subnet="10.9.0.0/30")
    started(world.start(net))

    world.write((layout.node_key(NodeId("a")), None))
    world.node("b")

    assert addresses_of(world.start(net, node_id="b")) == ["10.9.0.2"]


def test_exhaustion_says_who_has_how_many() -> None:
    world = Followed()
    net = world.network("back", subnet="10.9.0.0/29")
    for name in ("api", "web", "api", "api", "web"):
        started(world.start(net, service=name))

    assert world.start(net) == Shortage(
        "network back (10.9.0.0/29) has no free address: 5 in use, 3 by service api"
    )


def test_a_guest_gets_what_it_wants_or_hears_why_not() -> None:
    world = Followed()
    net = world.network("back", subnet="10.9.0.0/29", subnet6="fd00::/64")
    started(world.start(net))

    assert world.admit(net, "fd00::77", "10.9.0.5") == ("10.9.0.5", "fd00::77")
    assert world.admit(net) == ("10.9.0.3", "fd00::3")
    for text, words in (
        ("10.9.0.2", "is in use"),
        ("10.9.0.5", "is in use"),
        ("10.9.0.1", "is in use"),
        ("10.9.0.0", "is in use"),
        ("10.8.0.1", "is not in a subnet"),
    ):
        refused = world.admit(net, text)
        assert isinstance(refused, Shortage)
        assert text in refused.reason
        assert words in refused.reason
    assert addresses_of(world.start(net))[0] == "10.9.0.4"
    world.write((layout.guest_key(TaskId("c2"), net), None))
    assert world.admit(net, "10.9.0.5") == ("10.9.0.5", "fd00::5"), "it is free again"


def test_guests_count_when_a_network_is_full_and_go_with_their_node() -> None:
    world = Followed()
    net = world.network("back", subnet="10.9.0.0/30")
    world.node("b")
    world.guest("c1", net, "10.9.0.2", node_id="b")

    assert world.start(net) == Shortage(
        "network back (10.9.0.0/30) has no free address: 1 in use, 1 by container name-of-c1"
    )
    world.write((layout.node_key(NodeId("b")), None))
    assert addresses_of(world.start(net)) == ["10.9.0.2"]


def test_what_the_present_plan_was_given_counts_as_in_use() -> None:
    world = Followed()
    net = world.network("back", subnet="10.9.0.0/29")
    given_out = [world.addresses.attach({net: ()}, "web") for _ in range(6)]

    assert given_out[5] == Shortage(
        "network back (10.9.0.0/29) has no free address: 5 in use, 5 by service web"
    )
    world.addresses.begin()
    assert isinstance(world.addresses.attach({net: ()}, "web"), tuple)


def test_what_does_not_suffice_in_one_network_is_not_taken_in_the_others() -> None:
    world = Followed()
    wide, narrow = world.network("wide"), world.network("narrow", subnet="10.8.0.0/30")
    started(world.start(narrow))

    assert isinstance(world.start(wide, narrow), Shortage)
    assert addresses_of(world.start(wide)) == ["10.9.0.2"]


def test_a_network_that_is_gone_is_named() -> None:
    assert Followed().start(NetworkId("n-x")) == Shortage("network n-x does not exist any more")


def test_a_services_own_addresses_are_held_as_its_endpoint_says() -> None:
    world = Followed()
    net = world.network(subnet="10.9.0.0/30")
    own = world.addresses.virtual(net, "web")
    assert isinstance(own, VirtualAddress)

    world.write(
        (layout.endpoint_key(WEB), ServiceEndpoint(service_id=WEB, virtual_addresses=(own,)))
    )
    assert isinstance(world.start(net), Shortage)

    world.write((layout.endpoint_key(WEB), None))
    assert addresses_of(world.start(net)) == ["10.9.0.2"]


def test_a_new_leader_goes_on_after_the_newest_address() -> None:
    world = Followed()
    net = world.network(subnet="10.9.0.0/29")
    tasks = [started(world.start(net)) for _ in range(3)]
    world.report(tasks[0], TaskState.COMPLETE)

    world.addresses = Addresses.of(world.view)

    assert addresses_of(world.start(net)) == ["10.9.0.5"]


def test_a_copy_gives_what_is_free_and_changes_nothing() -> None:
    world = Followed()
    net, other = world.network(subnet="10.9.0.0/29"), world.network("other", subnet="10.8.0.0/24")
    task = started(world.start(net))
    copy = world.addresses.copied([net], [task.id])

    assert copy.attach({net: ()}, "web") == (Attachment(network_id=net, addresses=("10.9.0.3",)),)
    assert isinstance(copy.attach({other: ()}, "web"), Shortage)
    assert addresses_of(world.start(net)) == ["10.9.0.3"]


@settings(deadline=None)
@given(st.data())
def test_law_no_address_has_two_holders(data: st.DataObject) -> None:
    """Whatever starts, ends, is forgotten or is planned in vain, and whoever leads."""
    world = Followed()
    nets = [world.network("a", subnet="10.9.0.0/29"), world.network("b", subnet="10.8.0.0/29")]
    tasks: list[Task] = []
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(WHATS)):
            case "start":
                found = world.start(*data.draw(st.sampled_from([nets, nets[:1], nets[1:]])))
                tasks += [found] if isinstance(found, Task) else []
            case "admit":
                world.admit(data.draw(st.sampled_from(nets)), *data.draw(WISHES))
            case "release" if world.view.guests:
                key = data.draw(st.sampled_from(sorted(world.view.guests)))
                world.write((layout.guest_key(*key), None))
            case "waste":
                world.addresses.begin()
                world.addresses.attach(dict.fromkeys(nets, ()), "web")
            case "end" if tasks:
                world.report(tasks.pop(data.draw(st.integers(0, len(tasks) - 1))), TaskState.FAILED)
            case "forget" if tasks:
                task = tasks.pop(data.draw(st.integers(0, len(tasks) - 1)))
                world.write((layout.task_key(task.service_id, task.id), None))
            case _:
                world.addresses = Addresses.of(world.view)
        held = [text for task in tasks for text in addresses_of(task)]
        held += [text for guest in world.view.guests.values() for text in guest.addresses]
        assert len(held) == len(set(held))
    world.addresses.begin()
    for net in nets:
        left = 5 - sum(each.network_id == net for task in tasks for each in task.attachments)
        left -= len(world.view.guests_in(net))
        found = [world.addresses.attach({net: ()}, "web") for _ in range(left + 1)]
        assert [isinstance(each, Shortage) for each in found] == [*[False] * left, True]
