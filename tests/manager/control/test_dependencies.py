import pytest

from manager.control.dependencies import check_dependencies
from swarm.errors import Invalid
from swarm.specs import Dependency, ServiceSpec, TaskSpec
from tests.manager.world import World


def spec(name: str, *depends_on: str) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        task=TaskSpec(depends_on=tuple(Dependency(service=each) for each in depends_on)),
    )


def world(**services: tuple[str, ...]) -> World:
    made = World()
    for name, depends_on in services.items():
        made.service(name, task=spec(name, *depends_on).task)
    return made


def test_a_service_cannot_depend_on_itself() -> None:
    with pytest.raises(Invalid, match=r"depends_on\[0\]: service web cannot depend on itself"):
        check_dependencies(world().view, spec("web", "web"))


def test_whoever_closes_a_circle_is_told_which() -> None:
    made = world(db=("cache",), cache=("queue", "web"), queue=())

    with pytest.raises(Invalid) as refused:
        check_dependencies(made.view, spec("web", "queue", "db"))

    assert refused.value.message == (
        "task.depends_on[1]: web -> db -> cache -> web would wait for each other for ever"
    )
    assert "cache" in refused.value.hint


def test_an_update_is_judged_by_what_it_will_be() -> None:
    made = world(web=("db",), db=())

    check_dependencies(made.view, spec("web"))
    with pytest.raises(Invalid, match="db -> web -> db"):
        check_dependencies(made.view, spec("db", "web"))


def test_what_does_not_exist_yet_may_be_depended_on() -> None:
    check_dependencies(world(db=("later",)).view, spec("web", "db", "later"))


def test_a_diamond_is_no_circle() -> None:
    check_dependencies(world(a=("c",), b=("c",), c=()).view, spec("web", "a", "b"))
