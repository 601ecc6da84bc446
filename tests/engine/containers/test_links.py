"""Links, where Docker has them."""

from engine.containers import inspection, links
from engine.versions import LATEST
from swarm.api.v1 import containers_pb2 as pb
from tests.engine.io.agents import view


def linking(*given: str, mode: str = "") -> pb.ContainerView:
    found = view("b" * 64, "web")
    found.spec.network_mode = mode
    found.spec.links.extend(given)
    return found


def shown(found: pb.ContainerView) -> object:
    inspected = pb.InspectContainerResponse(container=found)
    return inspection.write_inspection(inspected, version=LATEST)["HostConfig"]["Links"]


def test_links_in_the_bridge_are_paths() -> None:
    assert shown(linking("db:store", "/db", mode="bridge")) == ["/db:/web/store", "/db:/web/db"]
    assert shown(linking()) is None


def test_links_in_other_networks_are_shown_at_the_place_there_alone() -> None:
    web, db = linking("db:store", mode="front"), view("a" * 64, "db")

    assert shown(web) is None
    assert links.linked_names([web, db]) == {}


def test_who_is_linked_to_has_those_names_too() -> None:
    db = view("a" * 64, "db")
    by_name, by_id = linking("db"), linking(f"{db.id[:12]}:store")

    assert links.linked_names([by_name, db]) == {db.id: ["/web/db"]}
    assert links.linked_names([by_id, db]) == {db.id: ["/web/store"]}
    assert links.linked_names([linking("nobody:x"), db]) == {}
