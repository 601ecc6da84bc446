import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Wanted
from agent.contents import Files, Filling, Written, described, files, missing, mounts
from runtime.oci.config import IdMapping
from runtime.spec import Mount, UserNamespace
from swarm.dispatch import Content
from swarm.errors import Invalid
from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import ContainerSpec, FileReference, TaskSpec

NAMES = Filling(names={".Service.Name": "web"}, env=("MODE=fast", "EMPTY="))
REMAPPED = UserNamespace(
    uids=(IdMapping(container_id=0, host_id=100_000, size=65_536),),
    gids=(IdMapping(container_id=0, host_id=200_000, size=65_536),),
)


def content(content_id: str, data: bytes = b"x", *, templated: bool = False) -> Content:
    return Content(id=content_id, version=1, data=data, templated=templated)


def held(*contents: Content) -> dict[str, Content]:
    return {each.id: each for each in contents}


def test_secrets_share_a_directory_and_all_else_is_bound_file_by_file() -> None:
    asked = ContainerSpec(
        secrets=(
            FileReference(id="1", name="db"),
            FileReference(id="2", name="key", target="tls/key.pem"),
            FileReference(id="3", name="far", target="/etc/far"),
            FileReference(id="4", name="near", target="/run/secrets/near"),
        ),
        configs=(
            FileReference(id="5", name="conf"),
            FileReference(id="6", name="site", target="/etc/site.conf"),
            FileReference(id="7", name="beside", target="run/secrets/beside"),
        ),
    )

    assert set(mounts(asked, "/m")) == {
        Mount(source="/m/secrets", target="/run/secrets", read_only=True),
        Mount(source="/m/files/secret-2", target="/etc/far", read_only=True),
        Mount(source="/m/files/config-0", target="/conf", read_only=True),
        Mount(source="/m/files/config-1", target="/etc/site.conf", read_only=True),
    }
    made = files(asked, held(*(content(str(n)) for n in range(1, 8))), NAMES, None)
    assert [each.path for each in made.written] == [
        "secrets/db",
        "secrets/tls/key.pem",
        "files/secret-2",
        "secrets/near",
        "files/config-0",
        "files/config-1",
        "secrets/beside",
    ]


def test_owners_are_the_containers_own_ids() -> None:
    asked = ContainerSpec(secrets=(FileReference(id="1", name="db", uid="33", gid="34", mode=256),))

    plain = files(asked, held(content("1")), NAMES, None)
    remapped = files(asked, held(content("1")), NAMES, REMAPPED)

    written = Written(path="secrets/db", data=b"x", uid=33, gid=34, mode=0o400)
    assert plain == Files(written=(written,))
    assert (remapped.written[0].uid, remapped.written[0].gid) == (100_033, 200_034)
    assert (remapped.uid, remapped.gid) == (100_000, 200_000)


def test_an_id_that_the_node_cannot_map_is_refused_with_its_field() -> None:
    asked = ContainerSpec(configs=(FileReference(id="1", name="c", gid="65536"),))

    with pytest.raises(Invalid, match=r"container.configs\[0\].gid: .* has none for 65536"):
        files(asked, held(content("1")), NAMES, REMAPPED)


def test_what_has_not_come_is_missing() -> None:
    spec = TaskSpec(
        container=ContainerSpec(
            secrets=(FileReference(id="1", name="a"), FileReference(id="2", name="b")),
            configs=(FileReference(id="3", name="c"),),
        )
    )
    wanted = Wanted(task=Task(id=TaskId("t"), service_id=ServiceId("s")), spec=spec, revision=1)

    absent = missing(wanted, held(content("2")))

    assert absent == ("1", "3")
    assert list(described(wanted, absent)) == ["secret a", "config c"]


def test_a_template_is_filled_in_with_names_env_secrets_and_configs() -> None:
    asked = ContainerSpec(
        secrets=(FileReference(id="1", name="password", target="pw"),),
        configs=(FileReference(id="2", name="main"), FileReference(id="3", name="part")),
    )
    template = (
        b'{{.Service.Name}} {{ env "MODE" }}{{env "EMPTY"}} {{secret "pw"}} '
        b'{{secret   "password"}}\n{{config "part"}}'
    )
    here = held(
        content("1", b"\xffhunter2"),
        content("2", template, templated=True),
        content("3", b"{{.Service.Name}}"),
    )

    made = files(asked, here, NAMES, None)

    assert made.written[1].data == b"web fast \xffhunter2 \xffhunter2\n{{.Service.Name}}"
    assert made.written[2].data == b"{{.Service.Name}}"


def test_a_template_that_is_never_closed_is_not_passed_on() -> None:
    """The container once read `{{secret "db"` as if nobody had wanted it filled in."""
    asked = ContainerSpec(configs=(FileReference(id="1", name="c"),))
    here = held(content("1", b'{{.Service.Name}}\nkey={{env "MODE"\n', templated=True))

    with pytest.raises(Invalid, match=r"configs\[0\]: the template on line 2 is never closed"):
        files(asked, here, NAMES, None)


@pytest.mark.parametrize("name", ["hunter2", 'env "NONE"', 'secret "other"', "if .Service.Name"])
def test_an_unknown_template_is_told_by_its_line_and_not_by_its_text(name: str) -> None:
    asked = ContainerSpec(secrets=(FileReference(id="1", name="db"),))
    here = held(content("1", f"a\nb\n{{{{{name}}}}}".encode(), templated=True))

    with pytest.raises(Invalid, match=r"container.secrets\[0\]: the template on line 3") as caught:
        files(asked, here, NAMES, None)

    assert name not in str(caught.value.message)


@given(st.binary(max_size=200))
def test_law_without_a_template_every_byte_stays(data: bytes) -> None:
    asked = ContainerSpec(configs=(FileReference(id="1", name="c"), FileReference(id="2")))
    bare = data.replace(b"{", b"")
    here = held(content("1", data), content("2", bare, templated=True))

    plain, templated = files(asked, here, NAMES, None).written

    assert plain.data == data
    assert templated.data == bare


def test_nothing_of_a_file_shows_in_what_is_printed() -> None:
    asked = ContainerSpec(secrets=(FileReference(id="1", name="db"),))
    made = files(asked, held(content("1", b"hunter2")), NAMES, None)

    assert "hunter2" not in repr(made) + str(made)
