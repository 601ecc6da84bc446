from random import Random

import pytest
from msgspec import structs

from manager import layout
from manager.control import contents, logins
from manager.control.services import remove
from manager.store import Commit, Delete, Put
from swarm.codec import unpack
from swarm.errors import Invalid, Refused
from swarm.ids import ServiceId
from swarm.images.credentials import Credentials
from swarm.objects import Login
from swarm.sealing import make_data_key
from swarm.specs import ServiceSpec
from tests.manager.world import World

KEY = make_data_key(Random(1))
WEB = ServiceId("s-web")
ME, YOU = Credentials("me", "swordfish"), Credentials("you", "marlin")


def give(world: World, image: str, given: Credentials | None) -> Login | None:
    """Store what `given` makes of the login of `web`."""
    found = logins.changed(world.view, KEY, WEB, image, given, random=Random(2))
    if found is not None:
        world.write((layout.login_key(WEB), found))
    return found


def test_a_login_is_kept_for_its_registry_and_another_takes_its_place() -> None:
    world = World()

    first = give(world, "r:5000/app:1", ME)
    give(world, "other:5000/app:1", YOU)
    last = give(world, "r:5000/else", YOU)

    assert first is not None
    assert last is not None
    assert (first.version, last.version) == (1, 3)
    assert logins.known(world.view, KEY, WEB, "r:5000/app") == YOU
    assert logins.known(world.view, KEY, WEB, "other:5000/x@sha256:" + "ab" * 32) == YOU
    assert logins.known(world.view, KEY, WEB, "busybox") is None


def test_nothing_is_stored_of_no_login_and_of_the_one_that_there_is() -> None:
    world = World()
    give(world, "r:5000/app", ME)

    assert give(world, "r:5000/app", None) is None
    assert give(world, "r:5000/app:2", ME) is None
    assert logins.storing(Commit(), None) == Commit()


def test_what_is_stored_opens_for_its_service_only_and_shows_nothing() -> None:
    world = World()
    login = give(world, "r:5000/app", ME)
    assert login is not None
    (put,) = logins.storing(Commit(), login).operations
    assert isinstance(put, Put)
    assert unpack(Login, put.value) == login
    assert put.key == "logins/s-web"
    assert b"swordfish" not in put.value

    content = contents.opened(world.view, KEY, WEB)
    moved = structs.replace(login, service_id=ServiceId("s-other"))
    world.write((layout.login_key(moved.service_id), moved))

    assert content is not None
    assert (content.id, content.version) == (WEB, 1)
    assert b"swordfish" in content.data
    assert "swordfish" not in repr((content, login))
    with pytest.raises(Refused, match="login/s-other is damaged or was moved here"):
        contents.opened(world.view, KEY, moved.service_id)


def test_tasks_wait_for_a_login_that_there_is_or_comes_whatever_a_client_says() -> None:
    world, spec = World(), ServiceSpec(name="web")
    claimed = structs.replace(spec, task=structs.replace(spec.task, registry_login=True))

    assert not logins.marked(world.view, WEB, claimed, given=False).task.registry_login
    assert logins.marked(world.view, None, spec, given=True).task.registry_login
    give(world, "r:5000/app", ME)
    assert logins.marked(world.view, WEB, spec, given=False) == claimed


def test_a_login_goes_with_its_service() -> None:
    world = World()
    world.service("web")
    give(world, "r:5000/app", ME)

    assert Delete("logins/s-web") in remove(world.view, WEB).operations

    world.write((layout.login_key(WEB), None))
    assert not world.view.logins


def test_more_than_a_node_should_carry_is_refused() -> None:
    with pytest.raises(Invalid, match=r"registry_auth: 656\d\d bytes") as caught:
        give(World(), "r:5000/app", Credentials("me", "x" * logins.MOST_BYTES))

    assert "xxx" not in str(caught.value)
