import pytest

from swarm.volumes import driver_problems, name_problems, option_problems


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"type": "tmpfs"}, "device: is missing"),
        ({"device": "/x"}, "type: is missing"),
        ({"type": "none", "device": "/x"}, "o: type=none mounts nothing without bind"),
        ({"type": "none", "device": "x", "o": "bind"}, "device: must be absolute for a bind"),
        ({"type": "tmpfs", "device": "tmpfs", "size": "1g"}, "size: the local driver has no"),
        ({"type": "tmpfs", "device": "tmpfs", "x": ""}, "x: there is no such option"),
    ],
)
def test_options_that_mount_nothing_are_told(options: dict[str, str], complaint: str) -> None:
    (problem,) = option_problems(options)

    assert problem.startswith(complaint)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"},
        {"type": "nfs", "device": ":/export", "o": "addr=10.0.0.1,rw"},
        {"type": "none", "device": "/srv", "o": "bind"},
    ],
)
def test_dockers_examples_are_accepted(options: dict[str, str]) -> None:
    assert not list(option_problems(options))


def test_names_and_drivers() -> None:
    assert not [*name_problems("data-1.x_y"), *driver_problems("local"), *driver_problems("")]
    assert list(name_problems("../etc"))
    assert list(name_problems(""))
    assert list(name_problems("x" * 256))
    assert list(driver_problems("rexray")) == [
        "driver: there is no volume driver 'rexray'; use local"
    ]
