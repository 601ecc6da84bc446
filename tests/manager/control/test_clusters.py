import pytest
from msgspec import structs

from manager import layout
from manager.control.clusters import check_version, present, update
from manager.store import Unchanged
from swarm.errors import Conflict, Invalid, Unavailable
from swarm.ids import ClusterId
from swarm.objects import Cluster
from swarm.specs import ClusterSpec
from tests.manager.world import World


def make_world() -> World:
    world = World()
    world.write((layout.CLUSTER, Cluster(id=ClusterId("c"))))
    return world


def test_settings_are_compared_with_what_was_read() -> None:
    world = make_world()

    commit = update(world.view, ClusterSpec(heartbeat_s=2.0), now=5.0)

    assert commit.compares == (Unchanged(layout.CLUSTER, world.view.version(layout.CLUSTER)),)
    assert not update(world.view, ClusterSpec(), now=5.0).operations


def test_every_setting_out_of_range_is_named() -> None:
    spec = ClusterSpec(cert_expiry_s=10.0, heartbeat_s=0.0, task_history_limit=-1)

    with pytest.raises(Invalid) as caught:
        update(make_world().view, spec, now=5.0)

    assert [each.partition(":")[0] for each in caught.value.problems] == [
        "cert_expiry_s",
        "heartbeat_s",
        "task_history_limit",
    ]


def test_no_swarm_to_be_seen_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        present(World().view)


def test_a_swarm_that_is_older_than_networks_gets_the_default_pools() -> None:
    """Nothing on the wire is an empty list and 0, of which no address can be taken."""
    world = World()
    silent = ClusterSpec(address_pools=(), subnet_bits=0, data_path_port=0)
    world.write((layout.CLUSTER, Cluster(id=ClusterId("c"), spec=silent)))

    assert present(world.view).spec == ClusterSpec()
    changed = update(world.view, structs.replace(silent, heartbeat_s=2.0), now=5.0)
    assert changed.operations


def test_the_port_of_the_data_path_stays() -> None:
    with pytest.raises(Invalid, match="data_path_port: 4789 cannot become 7789"):
        update(make_world().view, ClusterSpec(data_path_port=7789), now=5.0)


def test_a_change_that_was_derived_from_something_else_is_out_of_sequence() -> None:
    world = make_world()
    known = world.view.version(layout.CLUSTER)

    check_version(world.view, known)
    check_version(world.view, 0)
    with pytest.raises(Conflict, match="update out of sequence"):
        check_version(world.view, known + 1)


def test_tokens_are_replaced_with_settings_that_stay() -> None:
    def rotate(cluster: Cluster) -> Cluster:
        return structs.replace(cluster, root_certificate=b"other")

    commit = update(make_world().view, ClusterSpec(), now=5.0, rotate=rotate)

    assert commit.operations
