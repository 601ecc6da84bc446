from errno import EINVAL

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.users import Identity, resolve
from swarm.errors import KernelRefused

PASSWD = "root:x:0:0:r:/root:/bin/sh\n# odd\napp:x:1000:1001:a:/home/app:/bin/sh\n33:x:5:5::/n:\n"
GROUP = "root:x:0:\napp:x:1001:\nvideo:x:44:app,other\naudio:x:29:app\nbroken\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, (0,), "/root")),
        ("0", Identity(0, 0, (0,), "/root")),
        ("app", Identity(1000, 1001, (29, 44, 1001), "/home/app")),
        ("1000", Identity(1000, 1001, (29, 44, 1001), "/home/app")),
        ("app:video", Identity(1000, 44, (44,), "/home/app")),
        ("app:7", Identity(1000, 7, (7,), "/home/app")),
        ("4242", Identity(4242, 0, (0,), "/")),
        ("4242:4243", Identity(4242, 4243, (4243,), "/")),
        ("33", Identity(5, 5, (5,), "/n")),  # a name that looks like a number is a name
    ],
)
def test_users_are_read_as_docker_reads_them(user: str, expected: Identity) -> None:
    assert resolve(user, (), PASSWD, GROUP) == expected


def test_root_needs_no_passwd_file() -> None:
    assert resolve("", (), "", "") == Identity(0, 0, (0,), "/root")


def test_additional_groups_are_names_or_numbers() -> None:
    assert resolve("0", ("video", "7"), PASSWD, GROUP).groups == (0, 7, 44)


@pytest.mark.parametrize(
    ("user", "groups", "named"),
    [("nobody", (), "user 'nobody'"), ("app:nogroup", (), "group 'nogroup'"),
     ("", ("nogroup",), "group 'nogroup'")],
)  # fmt: skip
def test_an_unknown_name_is_refused_by_name(user: str, groups: tuple[str, ...], named: str) -> None:
    with pytest.raises(KernelRefused, match=named) as caught:
        resolve(user, groups, PASSWD, GROUP)

    assert caught.value.errno == EINVAL
    assert "use a number" in caught.value.hint


@pytest.mark.parametrize(
    ("user", "groups"),
    [("4294967295", ()), ("4294967296", ()), ("0:4294967295", ()), ("0", ("4294967295",)),
     ("9" * 5000, ()), ("0:" + "9" * 5000, ()), ("evil", ()), ("evil:0", ()), ("member", ())],
)  # fmt: skip
def test_no_number_that_the_kernel_takes_for_none_is_anyones(
    user: str, groups: tuple[str, ...]
) -> None:
    """4294967295 is -1: asked to become that, a process stays root."""
    passwd = f"evil:x:4294967295:0::/:\nmember:x:5:5::/:\nlong:x:{'9' * 5000}:0::/:\n"

    with pytest.raises(KernelRefused, match="no user or group can have the number"):
        resolve(user, groups, passwd, "all:x:4294967295:member\n")


@given(st.text(), st.text(), st.text())
def test_law_whatever_an_image_says_is_an_identity_or_refused(
    user: str, passwd: str, grp: str
) -> None:
    try:
        identity = resolve(user, (), passwd, grp)
    except KernelRefused:
        return
    assert all(0 <= number < 2**32 - 1 for number in (identity.uid, identity.gid))


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.text(), st.text())
def test_law_numbers_hold_whatever_the_files_say(uid: int, gid: int, passwd: str, grp: str) -> None:
    identity = resolve(f"{uid}:{gid}", (), f"x{passwd}", f"x{grp}")

    if str(uid) not in passwd and str(gid) not in grp:
        assert (identity.uid, identity.gid) == (uid, gid)
