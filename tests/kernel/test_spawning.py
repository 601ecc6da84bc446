"""A program of an OCI config: how it starts, waits, is joined, and what becomes of failures."""

import asyncio
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from unittest.mock import patch

import pytest

from runtime import constants as k
from runtime.io import kernel
from runtime.io.spawning import Stdio, open_gate, spawn
from runtime.oci.config import Config, ConsoleSize, Hook, Hooks, Mount, User
from runtime.plan import Extras, make_plan
from swarm.errors import KernelRefused
from tests.kernel.joined import read_all
from tests.kernel.machine import REPOSITORY, wait_for
from tests.kernel.spawned import MAPPED, NEW, Bundle, config, kill, listening
from tests.liveness import children

pytestmark = pytest.mark.kernel


def test_a_program_runs_as_process_1_with_its_exit_code(bundle: Bundle) -> None:
    code, output = bundle.run(config("sh", "-c", "echo $$ $HOME; exit 7"))

    assert (code, output) == (7, "1 /root\n")


def test_it_waits_at_the_gate_until_somebody_opens_it(bundle: Bundle) -> None:
    path = bundle.base / "gate"
    with (
        listening(path) as gate,
        bundle.spawned(config("sh", "-c", "echo on; exit 3"), gate=gate) as (made, output),
    ):
        gate.close()
        assert output.read_text() == ""

        open_gate(str(path))

        assert os.waitstatus_to_exitcode(os.waitpid(made.pid, 0)[1]) == 3
        assert output.read_text() == "on\n"


def test_a_missing_program_is_refused_before_the_gate(bundle: Bundle) -> None:
    with (
        listening(bundle.base / "gate") as gate,
        pytest.raises(KernelRefused, match="exec /no/such: no such file"),
    ):
        bundle.run(config("/no/such"), gate=gate)


def test_what_fails_behind_the_gate_is_told_to_who_opened_it(bundle: Bundle) -> None:
    (bundle.rootfs / "script").write_text("#!/no/interpreter\n")
    (bundle.rootfs / "script").chmod(0o755)
    path = bundle.base / "gate"

    with listening(path) as gate, bundle.spawned(config("/script"), gate=gate):
        gate.close()
        with pytest.raises(KernelRefused) as err:
            open_gate(str(path))

    assert err.value.errno == errno.ENOENT
    assert "interpreter" in err.value.hint


def test_hooks_run_in_order_where_they_belong(bundle: Bundle) -> None:
    log = bundle.base / "log"
    host_hook = Hook(path="/bin/sh", args=("sh", "-c", f"cat >> {log}; echo >> {log}"))
    inner = Hook(path="/bin/sh", args=("sh", "-c", "cat > /inner"), env=("PATH=/bin",))
    wanted = config(
        "cat", "/inner", hooks=Hooks(create_container=(host_hook,), start_container=(inner,))
    )
    seen: list[str] = []

    def created(pid: int) -> None:
        seen.append(str(Path(f"/proc/{pid}/root").readlink()))
        seen.append(Path(f"/proc/{pid}/mountinfo").read_text())

    code, output = bundle.run(wanted, Extras(state='{"id":"x"}'), on_created=created)

    assert code == 0
    assert seen[0] == "/"
    assert f"{bundle.rootfs}/proc" in seen[1]
    assert '"status":"creating"' in log.read_text()
    assert '"status":"created"' in output


def test_a_failing_hook_of_the_caller_leaves_nothing(bundle: Bundle) -> None:
    pids: list[int] = []

    def created(pid: int) -> None:
        pids.append(pid)
        raise KernelRefused("prestart hook", errno.ECANCELED, "prestart hook /x: exit code 1")

    with pytest.raises(KernelRefused, match="prestart"):
        bundle.run(config("true"), on_created=created)

    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_failing_hook_of_the_container_is_named(bundle: Bundle) -> None:
    wanted = config("true", hooks=Hooks(create_container=(Hook(path="/bin/false"),)))

    with pytest.raises(KernelRefused, match="createContainer hook /bin/false: exit code 1"):
        bundle.run(wanted)


def test_a_terminal_is_the_containers_own(bundle: Bundle) -> None:
    ours, theirs = socket.socketpair()
    wanted = config(
        "sh", "-c", "tty; stat -c %t:%T /dev/console; read x; echo got $x",
        process={"terminal": True, "console_size": ConsoleSize(height=33, width=99)},
    )  # fmt: skip

    with ours, theirs, bundle.spawned(wanted, stdio=Stdio(console=theirs.fileno())) as (made, _):
        name, (master,), _, _ = socket.recv_fds(ours, 4096, 1)
        with os.fdopen(master, "r+b", buffering=0) as terminal:
            rows, columns, _, _ = struct.unpack("4H", ioctl(master, termios.TIOCGWINSZ, bytes(8)))
            terminal.write(b"word\n")
            os.waitpid(made.pid, 0)
            said = asyncio.run(read_all(master)).decode().split("\r\n")

    assert name
    assert (rows, columns) == (33, 99)
    assert {"/dev/pts/0", "88:0", "got word"} <= set(said)


def test_a_joining_program_is_in_all_of_its_namespaces(bundle: Bundle) -> None:
    wanted = config("sleep", "99")
    script = "for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done; pwd"

    with bundle.spawned(wanted) as (made, _):
        code, output = bundle.join(wanted, made.pid, "sh", "-c", script, cwd="/tmp")
        theirs = [
            str(Path(f"/proc/{made.pid}/ns/{kind}").readlink())
            for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup")
        ]

    assert code == 0
    assert output.split() == [*theirs, "/tmp"]


def test_a_joining_program_has_the_rights_it_is_given(bundle: Bundle) -> None:
    wanted = config("sleep", "99")

    with bundle.spawned(wanted) as (made, _):
        _, output = bundle.join(
            wanted, made.pid, "sh", "-c", "id; grep -E 'CapEff|NoNew' /proc/self/status",
            user=User(uid=1000, gid=1001, additional_gids=(44,)),
        )  # fmt: skip

    assert output.split() == [
        "uid=1000(app)", "gid=1001(app)", "groups=44(video)",
        "CapEff:", "0" * 16, "NoNewPrivs:", "1",
    ]  # fmt: skip


def test_a_directory_of_the_host_is_no_way_out_for_a_joining_program(bundle: Bundle) -> None:
    """A descriptor that slips in, named as working directory (CVE-2024-21626)."""
    wanted = config("sleep", "99")
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    try:
        with bundle.spawned(wanted) as (made, _), pytest.raises(KernelRefused) as err:
            bundle.join(wanted, made.pid, "ls", cwd=f"/proc/self/fd/{leaked}")
    finally:
        os.close(leaked)

    assert err.value.step == "enter workdir"
    assert err.value.errno in (errno.EXDEV, errno.ENOENT, errno.EACCES)


def test_a_link_on_a_mount_target_leads_nowhere_else(bundle: Bundle) -> None:
    (bundle.rootfs / "way").symlink_to("../../../../../../../tmp")
    wanted = config("ls", "/tmp", mounts=(Mount(destination="/way/out", type="tmpfs"),))

    _, output = bundle.run(wanted)

    assert output == "out\n"
    assert not Path("/tmp/out").exists()


def test_a_refused_step_names_itself_and_leaves_nothing(bundle: Bundle) -> None:
    wanted = config("true", linux={"sysctl": {"kernel.no_such": "1"}})

    with pytest.raises(KernelRefused) as err:
        bundle.run(wanted)

    assert err.value.step == "write sysctl"
    assert not [p for p in bundle.leaks() if "cgroup" in p]


def test_process_1_dies_with_whoever_was_making_it(bundle: Bundle) -> None:
    """`create` is killed while a hook of it runs: what it had begun must not go on."""
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(REPOSITORY)!r})
        from tests.kernel.spawned import *
        b = Bundle(Path({str(bundle.base / "inner")!r}))
        def created(pid):
            print(pid, flush=True)
            time.sleep(60)
        with b.spawned(config("sleep", "99"), on_created=created): pass
    """)
    creator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert creator.stdout is not None
    with creator.stdout as told:
        pid = int(told.readline())
        pidfd = os.pidfd_open(pid)

        creator.kill()

        assert select.select((pidfd,), (), (), 30)[0]
        os.close(pidfd)
        creator.wait()
    groups = f"swarmspawn{creator.pid}"
    for root in bundle.place.layout.hierarchies:
        for name in (f"{groups}/inner", groups):
            wait_for("the group is empty", lambda at=f"{root}/{name}": _removed(at))


def _removed(path: str) -> bool:
    try:
        Path(path).rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def test_preserved_descriptors_are_the_programs_and_no_others(bundle: Bundle) -> None:
    reading, writing = os.pipe()
    try:
        wanted = config("sh", "-c", "echo kept >&3; ls /proc/self/fd | wc -l")
        pid = os.fork()
        if pid == 0:
            _preserving(bundle, wanted, writing)
        os.waitpid(pid, 0)
        assert os.read(reading, 100) == b"kept\n"
        assert (bundle.base / "output").read_text().strip() == "5"
    finally:
        os.close(reading)
        os.close(writing)


def _preserving(bundle: Bundle, wanted: Config, writing: int) -> None:
    code = 1
    try:
        os.dup2(writing, 3)
        os.set_inheritable(3, True)
        bundle.run(wanted, preserve_fds=1)
        code = 0
    finally:
        os._exit(code)


def test_the_signals_that_python_ignores_are_not_ignored(bundle: Bundle) -> None:
    _, output = bundle.run(config("grep", "Sig[IB]", "/proc/self/status"))

    assert output.split()[1::2] == ["0" * 16, "0" * 16]


def test_mapped_containers_wait_and_are_joined_too(bundle: Bundle) -> None:
    bundle.own_by(100_000)
    wanted = config(
        "sleep", "99", namespaces=(*NEW, "user"),
        linux={"uid_mappings": MAPPED, "gid_mappings": MAPPED},
    )  # fmt: skip
    path = bundle.base / "gate"

    with listening(path) as gate, bundle.spawned(wanted, gate=gate) as (made, _):
        gate.close()
        open_gate(str(path))
        code, output = bundle.join(
            wanted, made.pid, "sh", "-c", "id -u; echo x > /f; stat -c %u /f"
        )
        on_host = (bundle.rootfs / "f").stat().st_uid

    assert (code, output.split()) == (0, ["0", "0"])
    assert on_host == 100_000


def test_a_killed_gatekeeper_is_noticed_by_who_opens(bundle: Bundle) -> None:
    path = bundle.base / "gate"
    with listening(path) as gate, bundle.spawned(config("true"), gate=gate) as (made, _):
        gate.close()
        os.kill(made.pid, signal.SIGKILL)
        os.waitpid(made.pid, 0)
        with pytest.raises(OSError, match="refused"):
            open_gate(str(path))


def test_spawning_leaves_no_process_when_it_fails_in_between(bundle: Bundle) -> None:
    """The process in between has forked when the one after it fails."""
    wanted = config(
        "/no/such", namespaces=(*NEW, "user"),
        linux={"uid_mappings": MAPPED, "gid_mappings": MAPPED},
    )  # fmt: skip

    before = children(os.getpid())

    with pytest.raises(KernelRefused):
        bundle.run(wanted)

    assert children(os.getpid()) == before


@pytest.mark.parametrize("ends", ["late", "at once, by a signal"])
def test_the_process_in_between_may_end_whenever_it_likes(bundle: Bundle, ends: str) -> None:
    """What the one that it forked says meanwhile is known to be that one's."""

    def clone(flags: int, clone: Callable[[int], int] = kernel.clone) -> int:
        pid = clone(flags)
        if pid and flags & k.CLONE_PARENT:
            time.sleep(0.3)
            if ends != "late":
                os.kill(os.getpid(), signal.SIGKILL)
        return pid

    wanted, before = config("sleep", "99"), children(os.getpid())
    with (
        bundle.spawned(wanted) as (made, _),
        patch.object(kernel, "clone", clone),
    ):
        with pytest.raises(KernelRefused) as err:
            bundle.join(wanted, made.pid, "ls", cwd="/no/such")
        code, output = bundle.join(wanted, made.pid, "echo", "joined")

    assert err.value.step == "enter workdir"
    assert (code, output) == (0, "joined\n")
    assert children(os.getpid()) == before


def test_a_plan_can_be_carried_out_twice(bundle: Bundle) -> None:
    plan = make_plan(config("true"), bundle.place)
    try:
        for _ in range(2):
            made = spawn(plan, Stdio())
            os.waitpid(made.pid, 0)
            kill(made.pid)
    finally:
        bundle.clean(config("true"), Extras())
