import msgspec
import pytest

from runtime.command import program
from runtime.command.parsing import Options, parse
from runtime.oci.config import Capabilities, Process, User
from swarm.errors import Invalid

BASE = Process(
    args=("sh",),
    cwd="/home",
    env=("PATH=/bin", "A=1"),
    terminal=True,
    user=User(uid=3, gid=4, additional_gids=(5,), umask=0o77),
    capabilities=Capabilities(bounding=("CAP_KILL",), permitted=("CAP_KILL",)),
    no_new_privileges=True,
    apparmor_profile="tight",
)


def options(*words: str) -> Options:
    return parse(["exec", *words, "c1"]).options


def test_without_flags_it_is_the_containers_own_without_a_terminal() -> None:
    made = program.from_flags(BASE, options(), ("ls", "-l"))

    assert made == msgspec.structs.replace(BASE, args=("ls", "-l"), terminal=False)


def test_flags_change_what_they_name() -> None:
    given = options(
        "-t", "--cwd", "/tmp", "-e", "A=2", "-e", "B=3", "-u", "7", "-g", "8", "-g", "9",
        "-c", "net_admin", "--cap", "CAP_KILL", "--apparmor", "loose", "--process-label", "l",
        "--no-new-privs=false",
    )  # fmt: skip

    made = program.from_flags(BASE, given, ("ls",))

    assert made == Process(
        args=("ls",),
        cwd="/tmp",
        env=("PATH=/bin", "A=1", "A=2", "B=3"),
        terminal=True,
        user=User(uid=7, gid=4, additional_gids=(5, 8, 9), umask=0o77),
        capabilities=Capabilities(
            bounding=("CAP_KILL", "CAP_NET_ADMIN"),
            effective=("CAP_NET_ADMIN", "CAP_KILL"),
            permitted=("CAP_KILL", "CAP_NET_ADMIN"),
        ),
        apparmor_profile="loose",
        selinux_label="l",
        no_new_privileges=False,
    )


def test_a_group_may_come_with_the_user() -> None:
    user = program.from_flags(BASE, options("--user", "7:8"), ("ls",)).user

    assert (user.uid, user.gid) == (7, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--user", "root"), "--user: must be UID or UID:GID, is 'root'"),
        (("--user", "1:"), "--user: must be UID or UID:GID, is '1:'"),
        (("--user", "4294967295"), "--user: must be UID or UID:GID, is '4294967295'"),
        (("--cap", "FLY"), "--cap: FLY is no capability"),
        (("--cwd", "tmp"), "--cwd: must be absolute, is tmp"),
        (("--env", "A"), "--env: must be NAME=VALUE, is 'A'"),
    ],
)
def test_what_makes_no_sense_is_named(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        program.from_flags(BASE, options(*words), ("ls",))

    assert caught.value.message == message


def test_there_must_be_something_to_run() -> None:
    with pytest.raises(Invalid, match="args cannot be empty"):
        program.from_flags(BASE, options(), ())
