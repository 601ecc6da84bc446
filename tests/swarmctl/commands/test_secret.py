"""`secret` and `config` store files, change them and show what may be seen."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, specs_pb2
from swarm.errors import Refused
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

PLAIN = "correct horse"


@pytest.fixture(autouse=True)
def stored(swarm: FakeSwarm) -> None:
    """A secret and a config."""
    fields = {"version": 3, "created_at": 1e9, "updated_at": 1.1e9}
    swarm.secrets = [
        control_pb2.SecretView(
            id="a" * 25, spec=specs_pb2.SecretSpec(name="db", labels={"team": "red"}), **fields
        ),
        control_pb2.SecretView(id="b" * 25, spec=specs_pb2.SecretSpec(name="key"), **fields),
    ]
    swarm.configs = [
        control_pb2.ConfigView(
            id="c" * 25,
            spec=specs_pb2.ConfigSpec(name="site", template_driver="golang"),
            data=b"a=1\n",
            **fields,
        )
    ]


@pytest.mark.parametrize("kind", ["secret", "config"])
def test_a_file_is_stored_and_its_id_printed(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").write_text(PLAIN)
    flags = ["-l", "a=b", "--label", "c", "--template-driver", "golang"]

    ran = run(socket, kind, "create", *flags, "new", str(tmp_path / "file"))

    request = swarm.requests[-1]
    assert ran.out == f"{kind[0] * 25}\n"
    assert request.data == PLAIN.encode()
    assert request.spec.name == "new"
    assert dict(request.spec.labels) == {"a": "b", "c": ""}
    assert request.spec.template_driver == "golang"


def test_standard_input_is_stored(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "secret", "create", "new", "-", stdin=PLAIN.encode())

    assert swarm.requests[-1].data == PLAIN.encode()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["create", "x"], "no content for secret x"),
        (["create", "x", "-"], "standard input is empty"),
        (["create", "x", "/no/file"], "/no/file: No such file"),
        (["create", "x", "/tmp"], "/tmp is a directory"),
        (["create", "-d", "vault", "x", "-"], "--driver vault: there are no drivers"),
        (["create", "-l", "=v", "x", "/etc/hostname"], "--label '=v' is not KEY=VALUE"),
        (["update", "db"], "nothing to change of secret db"),
        (["inspect", "none"], "secret 'none' not found"),
        (["inspect", "--pretty", "-f", "json", "db"], "exclude each other"),
        (["ls", "-f", "owner=x"], "unknown key 'owner'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    swarm: FakeSwarm, socket: Path, words: list[str], complaint: str
) -> None:
    ran = run(socket, "secret", *words)

    assert ran.status == 1
    assert complaint in ran.err
    assert not swarm.asked(control_pb2.CreateSecretRequest)


def test_an_update_sends_what_changed_and_names_what_rolls(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text(PLAIN)
    swarm.rolled = ["web", "api"]

    ran = run(socket, "secret", "update", "--roll", "db", str(tmp_path / "file"))

    request = swarm.requests[-1]
    assert (request.secret, request.data, request.roll) == ("a" * 25, PLAIN.encode(), True)
    assert not request.HasField("spec")
    assert ran.out == "db\n"
    assert ran.err == "rolling service web\nrolling service api\n"


def test_labels_alone_leave_the_data_alone(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "secret", "update", "--label-add", "a=b", "--label-rm", "team", "db")
    secret = swarm.requests[-1]
    run(socket, "config", "update", "--label-add", "a=b", "site")
    config = swarm.requests[-1]

    assert not secret.HasField("data")
    assert (secret.spec.name, dict(secret.spec.labels)) == ("db", {"a": "b"})
    assert config.spec.template_driver == "golang"


def test_lists_are_selected_and_formatted(socket: Path) -> None:
    table = run(socket, "secret", "ls").out.splitlines()

    assert table[0].split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]
    assert table[1].split()[:2] == ["a" * 25, "db"]
    assert run(socket, "config", "ls").out.split()[:4] == ["ID", "NAME", "CREATED", "UPDATED"]
    assert run(socket, "secret", "ls", "-q", "-f", "label=team=red").out == f"{'a' * 25}\n"
    assert run(socket, "secret", "ls", "-q", "-f", "name=k").out == f"{'b' * 25}\n"
    assert run(socket, "secret", "ls", "-q", "-f", "id=bb").out == f"{'b' * 25}\n"
    assert run(socket, "secret", "ls", "--format", "{{.Name}} {{.Labels}}").out == (
        "db team=red\nkey \n"
    )


def test_a_secret_is_inspected_without_its_data_and_a_config_with(socket: Path) -> None:
    (secret,) = json.loads(run(socket, "secret", "inspect", "db").out)
    (config,) = json.loads(run(socket, "config", "inspect", "site").out)

    assert secret["Spec"] == {"Name": "db", "Labels": {"team": "red"}}
    assert secret["Version"] == {"Index": 3}
    assert config["Spec"]["Data"] == "YT0xCg=="
    assert config["Spec"]["Templating"] == {"Name": "golang"}
    assert run(socket, "config", "inspect", "-f", "{{.Spec.Name}}", "site").out == "site\n"


def test_pretty_shows_a_config_as_it_is(socket: Path) -> None:
    secret = run(socket, "secret", "inspect", "--pretty", "db").out
    config = run(socket, "config", "inspect", "--pretty", "site").out

    assert " - team=red" in secret
    assert "Data" not in secret
    assert config.endswith("Data:\na=1\n")


def test_removal_goes_on_after_one_that_stays(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "secret", "rm", "none", "db")
    removed = [each.secret for each in swarm.asked(control_pb2.RemoveSecretRequest)]
    swarm.refuse("RemoveConfig", Refused("config site is in use by the following service: web"))
    kept = run(socket, "config", "rm", "site")

    assert (ran.status, ran.out, removed) == (1, "db\n", ["a" * 25])
    assert "in use by the following service: web" in kept.err


def test_labels_are_shown_in_order(swarm: FakeSwarm, socket: Path) -> None:
    swarm.secrets[0].spec.labels.update({f"l{n}": "" for n in range(9, 0, -1)})

    (shown,) = json.loads(run(socket, "secret", "inspect", "db").out)

    assert list(shown["Spec"]["Labels"]) == sorted(shown["Spec"]["Labels"])


def test_a_file_that_is_far_too_large_is_not_read_whole_and_not_said_to_be_smaller(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    """Of a file of gigabytes it was once said that it has 1048577 bytes."""
    with (tmp_path / "film").open("wb") as film:
        film.truncate(5 << 30)

    ran = run(socket, "secret", "create", "film", str(tmp_path / "film"))

    assert (ran.status, swarm.requests) == (1, [])
    assert "film has more than 1048576 bytes (1MiB)" in ran.err


def test_what_is_found_is_shown_though_something_else_is_not(
    swarm: FakeSwarm, socket: Path
) -> None:
    """As with Docker: what there is on standard output, what there is not as the error."""
    ran = run(socket, "secret", "inspect", "none", "db", "nil")

    assert [each["Spec"]["Name"] for each in json.loads(ran.out)] == ["db"]
    assert ran.status == 1
    assert "secret 'none' not found" in ran.err
    assert "secret 'nil' not found" in ran.err
    assert json.loads(run(socket, "secret", "inspect", "none").out) == []
    assert run(socket, "config", "inspect", "-f", "pretty", "site").out.startswith("ID:")
