"""`volume` makes, lists and removes this host's volumes."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import volumes_pb2
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def stored(swarm: FakeSwarm) -> None:
    """One that is used, one that is not, and one whose name was made up."""
    swarm.volumes = [
        volumes_pb2.Volume(
            name="data-1", driver="local", mountpoint="/v/data-1/_data", users=["web.1.x"],
            labels={"team": "red"}, created_at=1e9, options={"type": "tmpfs"},
        ),
        volumes_pb2.Volume(name="old", driver="local", labels={"keep": ""}),
        volumes_pb2.Volume(
            name="f" * 64, driver="local", labels={"com.docker.volume.anonymous": ""}
        ),
    ]  # fmt: skip


def names(ran: str) -> list[str]:
    return ran.split()


def test_a_volume_is_made_with_what_is_asked(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(
        socket, "volume", "create", "-d", "local", "--label", "a=b", "-o", "type=tmpfs",
        "-o", "device=tmpfs", "--opt", "o=size=1m,uid=5", "data",
    )  # fmt: skip

    request = swarm.requests[-1]
    assert ran.out == "data\n"
    assert dict(request.options) == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5"}
    assert (request.driver, dict(request.labels)) == ("local", {"a": "b"})
    assert run(socket, "volume", "create").out == f"{'f' * 64}\n"


def test_options_without_a_value_are_refused(socket: Path) -> None:
    ran = run(socket, "volume", "create", "-o", "tmpfs", "data")

    assert "--opt 'tmpfs' is not KEY=VALUE" in ran.err


def test_volumes_are_listed_as_dockers_are(socket: Path) -> None:
    table = run(socket, "volume", "ls").out.splitlines()

    assert table[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert table[1].split() == ["local", "data-1"]
    assert run(socket, "volume", "ls", "--format", "{{.Name}} {{.Mountpoint}} {{.Links}}").out
    for text, found in (
        ("dangling=true", ["old", "f" * 64]),
        ("dangling=false", ["data-1"]),
        ("name=at", ["data-1"]),
        ("label=team=red", ["data-1"]),
        ("driver=nfs", []),
    ):
        assert names(run(socket, "volume", "ls", "-q", "-f", text).out) == found


def test_a_volume_is_shown_in_full(socket: Path) -> None:
    (shown,) = json.loads(run(socket, "volume", "inspect", "data-1").out)

    assert shown["Mountpoint"] == "/v/data-1/_data"
    assert shown["Options"] == {"type": "tmpfs"}
    assert shown["Scope"] == "local"
    assert shown["UsedBy"] == ["web.1.x"]
    none = run(socket, "volume", "inspect", "none", "data-1")
    assert (none.status, [each["Name"] for each in json.loads(none.out)]) == (1, ["data-1"])
    assert "no such volume: none" in none.err


def test_removal_names_what_is_in_use_and_goes_on(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "volume", "rm", "-f", "data-1", "old")

    assert (ran.status, ran.out) == (1, "old\n")
    assert "volume is in use: data-1" in ran.err
    assert all(each.force for each in swarm.asked(volumes_pb2.RemoveVolumeRequest))


def test_prune_removes_what_nobody_uses_after_asking(swarm: FakeSwarm, socket: Path) -> None:
    no = run(socket, "volume", "prune", stdin=b"n\n")
    assert not swarm.asked(volumes_pb2.PruneVolumesRequest)
    yes = run(socket, "volume", "prune", stdin=b"y\n")

    assert "WARNING! This will remove anonymous local volumes" in no.err + no.out
    assert yes.out.endswith(f"Deleted Volumes:\n{'f' * 64}\n\nTotal reclaimed space: 5kB\n")


@pytest.mark.parametrize(
    ("flags", "pruned"),
    [
        (["-a"], ["old", "f" * 64]),
        (["--filter", "all=true"], ["old", "f" * 64]),
        (["-a", "--filter", "label=keep"], ["old"]),
        (["-a", "--filter", "label!=keep"], ["f" * 64]),
        ([], ["f" * 64]),
    ],
)
def test_prune_is_selected(
    swarm: FakeSwarm, socket: Path, flags: list[str], pruned: list[str]
) -> None:
    run(socket, "volume", "prune", "-f", *flags)

    (request,) = swarm.asked(volumes_pb2.PruneVolumesRequest)
    assert list(request.names) == pruned


def test_a_filter_that_is_neither_true_nor_false_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    """`--filter all=maybe` once pruned as if it said no, and `dangling=yes` listed nothing."""
    for words in (["ls", "-f", "dangling=yes"], ["prune", "-f", "--filter", "all=maybe"]):
        ran = run(socket, "volume", *words)

        assert ran.status == 1
        assert "there are true, false, 1, 0" in ran.err
    assert not [
        each for each in swarm.requests if isinstance(each, volumes_pb2.PruneVolumesRequest)
    ]


def test_labels_and_options_are_shown_in_order(swarm: FakeSwarm, socket: Path) -> None:
    swarm.volumes[0].labels.update({f"l{n}": "" for n in range(9, 0, -1)})
    swarm.volumes[0].options.update({f"o{n}": "" for n in range(9, 0, -1)})

    (shown,) = json.loads(run(socket, "volume", "inspect", "data-1").out)

    assert list(shown["Labels"]) == sorted(shown["Labels"])
    assert list(shown["Options"]) == sorted(shown["Options"])


def test_prune_without_an_answer_removes_nothing_and_names_the_flag(
    swarm: FakeSwarm, socket: Path
) -> None:
    """A script saw the question, no error, and the status of an interrupt."""
    ran = run(socket, "volume", "prune", stdin=b"")

    assert ran.status == 1
    assert ran.err.splitlines()[-2:] == [
        "Error: nobody answered, and nothing was removed",
        "Hint: give --force to be asked nothing",
    ]
    assert not swarm.asked(volumes_pb2.PruneVolumesRequest)
