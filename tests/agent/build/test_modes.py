import os
import stat
import subprocess
from pathlib import Path

import pytest

from agent.build.modes import apply_mode
from agent.build.owners import find_owner
from swarm.errors import Invalid

PASSWD = "root:x:0:0::/:\nbob:x:7:8::/:\nbroken\n"
GROUP = "root:x:0:\nbob:x:9:\nstaff:x:50:\n"


@pytest.mark.parametrize(
    "text", ["755", "0644", "u=rwX,go=rX", "a+x", "go-rwx", "u+s", "+t", "g=u", "u=rw,+X", "2755"]
)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_modes_are_what_chmod_makes_of_them(text: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir() if kind == "directory" else path.touch()
    path.chmod(0o640)
    if text == "g=u":
        with pytest.raises(Invalid):
            apply_mode(text, 0o640, is_directory=False)
        return
    before = os.umask(0)
    try:
        subprocess.run(["chmod", text, path], check=True)
    finally:
        os.umask(before)

    expected = stat.S_IMODE(path.stat().st_mode)
    assert apply_mode(text, 0o640, is_directory=kind == "directory") == expected


@pytest.mark.parametrize("text", ["888", "77777", "u~x", "x"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="invalid chmod parameter"):
        apply_mode(text, 0, is_directory=False)


@pytest.mark.parametrize(
    ("text", "owner"),
    [("7", (7, 7)), ("7:8", (7, 8)), ("bob", (7, 9)), ("bob:staff", (7, 50)), ("0:staff", (0, 50))],
)
def test_owners_are_explained_by_the_image(text: str, owner: tuple[int, int]) -> None:
    assert find_owner(text, passwd=PASSWD, group=GROUP) == owner


@pytest.mark.parametrize("text", ["nobody", "bob:nogroup", "a:b:c", "", "5000000000"])
def test_an_owner_that_nobody_is_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        find_owner(text, passwd=PASSWD, group=GROUP)
