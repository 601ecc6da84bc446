"""Namespaces that are entered and left, made and removed, whatever happens in between."""

import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.io import namespaces
from agent.network.io.channel import Channel
from agent.network.kernel import Put, Route, Veth
from agent.network.wire import links, routes
from agent.network.wire.messages import Request
from runtime import constants as k
from runtime.io import kernel
from swarm.errors import KernelRefused, Missing, Unavailable
from tests.kernel.machine import REPOSITORY, wait_for
from tests.kernel.netlink_lab import Place, places, where

pytestmark = pytest.mark.kernel

ROUTE = 0  # NETLINK_ROUTE


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with places(tmp_path / "netns", "one") as (made,):
        yield made


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where namespaces are made; all of them are removed after."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = tmp_path / "several"
    yield made
    for name in namespaces.names(made):
        namespaces.remove(made / name)
    assert str(made) not in Path("/proc/self/mountinfo").read_text()


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def test_only_this_thread_is_elsewhere_and_only_for_a_while(place: Place) -> None:
    home = where()
    seen: list[int] = []

    with namespaces.entered(place.netns):
        other = threading.Thread(target=lambda: seen.append(where()))
        inside = where()
        process = int(
            subprocess.run(
                ["stat", "-Lc", "%i", "/proc/self/ns/net"], capture_output=True, check=True
            ).stdout
        )
    other.start()
    other.join()

    assert inside == process == inode(place.netns)
    assert seen == [home]
    assert where() == home != inside


def test_no_exception_leaves_a_thread_elsewhere(place: Place) -> None:
    home = where()

    def fail() -> None:
        with namespaces.entered(place.netns):
            raise ValueError(where())

    with pytest.raises(ValueError, match=str(inode(place.netns))):
        fail()

    assert where() == home


def test_what_is_no_namespace_is_not_entered(place: Place) -> None:
    home = where()

    with (
        open("/dev/null") as nothing,
        pytest.raises(OSError, match="Invalid argument"),
        namespaces.entered(nothing.fileno()),
    ):
        raise AssertionError

    assert where() == home


def test_a_namespace_is_made_once_and_removed_however_often(directory: Path) -> None:
    path = directory / "n1"

    namespaces.make(path)
    first = path.stat().st_ino
    namespaces.make(path)

    assert path.stat().st_ino == first
    assert namespaces.names(directory) == ("n1",)
    assert namespaces.is_namespace(path)
    for _ in range(2):
        namespaces.remove(path)
        assert namespaces.names(directory) == ()
        assert not path.exists()
        with pytest.raises(Missing, match="no network namespace at"):
            namespaces.opened(path)


def test_namespaces_are_not_shared(directory: Path) -> None:
    for name in ("a", "b"):
        namespaces.make(directory / name)

    seen = {(directory / name).stat().st_ino for name in namespaces.names(directory)} | {where()}

    assert len(seen) == 3


def test_half_made_namespaces_are_cleared_away_or_made(directory: Path) -> None:
    """A crash leaves the file without the mount, or (of two makers) two mounts."""
    namespaces.make(directory / "whole")
    for name in ("half", "other"):
        (directory / name).touch()
    kernel.mount(str(directory / "whole"), str(directory / "whole"), "", k.MS_BIND)

    namespaces.make(directory / "other")

    assert namespaces.names(directory) == ("other", "whole")
    assert not (directory / "half").exists()
    namespaces.remove(directory / "whole")
    assert namespaces.names(directory) == ("other",)


MAKER = """
import sys
from pathlib import Path
from agent.network.io import namespaces
directory = Path(sys.argv[1])
print("making", flush=True)
while True:
    for number in range(4):
        namespaces.make(directory / f"n{number}")
    for number in range(4):
        namespaces.remove(directory / f"n{number}")
"""


def test_whoever_makes_and_removes_them_may_be_killed_at_any_time(directory: Path) -> None:
    chance = random.Random(5)
    for _ in range(6):
        maker = subprocess.Popen(
            [sys.executable, "-c", MAKER, str(directory)], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        try:
            assert maker.stdout is not None
            maker.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                maker.wait(chance.random() / 5)
        finally:
            maker.kill()
            maker.communicate()

        left = namespaces.names(directory)

        assert {path.name for path in directory.iterdir()} == set(left)
        assert all(namespaces.is_namespace(directory / name) for name in left)
        for name in left:
            namespaces.make(directory / name)
            namespaces.remove(directory / name)
        assert not list(directory.iterdir())


def test_a_namespace_that_cannot_be_made_leaves_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KernelRefused, match=r"no network namespace can be made at .*file/n1"):
        namespaces.make(tmp_path / "file" / "n1")


def test_the_namespace_of_a_process_goes_with_it(place: Place) -> None:
    sleeper = place.start("sleep", "60")
    try:
        wait_for("it is inside", lambda: _is_in(sleeper.pid, place))
        netns = namespaces.of_process(sleeper.pid)
        assert inode(netns) == inode(place.netns)
        os.close(netns)
    finally:
        sleeper.kill()
        sleeper.communicate()

    with pytest.raises(Missing, match=f"process {sleeper.pid} has ended"):
        namespaces.of_process(sleeper.pid)


def _is_in(pid: int, place: Place) -> bool:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino == inode(place.netns)


def test_sysctls_are_those_of_the_namespace(place: Place) -> None:
    setting = Path("/proc/sys/net/ipv4/conf/default/arp_ignore")
    before = setting.read_text()

    namespaces.set_sysctls(
        place.netns,
        {"net/ipv4/ip_forward": "1", "net/ipv4/conf/default/arp_ignore": "7"},
    )

    assert setting.read_text() == before
    assert place.run("cat", str(setting)) == "7\n"
    assert place.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("net/ipv4/no_such_setting", "1", "No such file or directory"),
        ("net/ipv4/ip_forward", "yes", "Invalid argument"),
    ],
)
def test_a_sysctl_that_cannot_be_set_is_named(
    place: Place, path: str, value: str, why: str
) -> None:
    home = where()

    with pytest.raises(KernelRefused, match=f"{path.replace('/', '.')} cannot be .*{why}"):
        namespaces.set_sysctls(place.netns, {path: value})

    assert where() == home


def absent(count: int) -> list[Request]:
    """Removals that are all refused, which takes room in the buffer for answers."""
    return [routes.remove(Route(destination=f"10.0.{n}.0/24"), None) for n in range(count)]


def test_lost_answers_are_asked_for_again_and_then_given_up(place: Place) -> None:
    channel = Channel(ROUTE, place.netns, buffer_bytes=2048)
    try:
        _, refused = channel.submit(absent(2))
        assert len(refused) == 2

        with pytest.raises(Unavailable, match="its buffer for them overflows"):
            channel.submit(absent(200))

        _, refused = channel.submit(absent(2))
        assert len(refused) == 2
    finally:
        channel.close()


def test_as_many_refusals_as_requests_are_read(place: Place) -> None:
    channel = Channel(ROUTE, place.netns)
    try:
        _, refused = channel.submit(absent(250) * 8)
    finally:
        channel.close()

    assert sorted(refused) == list(range(2000))


def test_numbers_of_messages_begin_again_before_they_overflow(place: Place) -> None:
    channel = Channel(ROUTE, place.netns, first=2**32 - 3)
    try:
        for _ in range(4):
            _, refused = channel.submit(absent(2))
            assert sorted(refused) == [0, 1]
            found, why = channel.dump(links.get_all())
            assert (len(found), why.errno) == (1, 0)
    finally:
        channel.close()


def test_dumps_are_of_one_moment_while_others_change_things(place: Place) -> None:
    """Two sets of routes are there in turn, and each reading shows pairs made in one batch."""
    place.socket.apply([Put(Veth(name=f"a{n}", peer=f"b{n}")) for n in range(60)])
    stop = threading.Event()

    def change() -> None:
        channel = Channel(ROUTE, place.netns)
        number = 0
        while not stop.is_set():
            number += 1
            pair = Veth(name=f"x{number % 9}", peer=f"y{number % 9}")
            channel.submit([links.create(pair, home=None, peer=None)])
            channel.submit([links.delete(pair.name)])
        channel.close()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(30):
            names = [link.name for link in place.socket.links()]
            assert len(names) == len(set(names))
            assert {f"a{n}" for n in range(60)} <= set(names)
    finally:
        stop.set()
        changing.join()


def test_a_name_that_is_no_links_has_no_index(place: Place) -> None:
    place.socket.apply([Put(Veth(name="a23456789012345", peer="b"))])
    channel = Channel(ROUTE, place.netns)
    try:
        assert channel.index_of("lo") == 1
        assert channel.name_of(1) == "lo"
        assert channel.index_of("gone") is None
        assert channel.index_of("a23456789012345") is not None
        assert channel.index_of("a234567890123456") is None
        assert channel.name_of(99) == ""
    finally:
        channel.close()


def test_a_socket_that_cannot_be_opened_is_a_clear_error() -> None:
    home = where()

    with (
        open("/dev/null") as nothing,
        pytest.raises(KernelRefused, match="no netlink socket can be opened") as refused,
    ):
        Channel(ROUTE, nothing.fileno())

    assert refused.value.errno == errno.EINVAL
    assert where() == home


def test_who_may_not_is_told_to_be_root(place: Place) -> None:
    said = subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
         sys.executable, "-c", POWERLESS, str(place.path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert said == "swarmd must run as root, with CAP_NET_ADMIN and CAP_SYS_ADMIN\n"


POWERLESS = """
import sys
from pathlib import Path
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from swarm.errors import KernelRefused
try:
    with Socket(namespaces.opened(Path(sys.argv[1]))) as socket:
        socket.links()
except KernelRefused as refused:
    print(refused.hint)
"""
