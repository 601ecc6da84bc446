"""What a program in a container tries in order to get out, and what it gets instead.

The attacker is a real program that makes the system calls itself (`escapes/attack.py`), as root
in a container with all defaults. Each attempt is first shown to work where its fence is missing:
in a privileged container, in one without the limit in question, or on the host. An attempt that
could not succeed anyway would prove nothing.
"""

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from runtime.defaults import CAPABILITIES
from runtime.io.client import Runtime
from runtime.joining import ExecSpec
from runtime.spec import Mount, Resources
from swarm.errors import KernelRefused, SwarmError
from tests.kernel.machine import PATIENCE, Machine, eventually, exit_of
from tests.liveness import children

pytestmark = pytest.mark.kernel

ATTACK = Path(__file__).parent / "escapes" / "attack.py"
PYTHON = "/usr/bin/python3"
PRIVILEGED = {"privileged": True, "seccomp": "unconfined", "no_new_privs": False}
Answer = dict[str, Any]
Visit = Callable[[Runtime, str, int], Awaitable[None]]


@pytest.fixture
def cell(machine: Machine) -> Machine:
    """A machine whose image runs the host's Python, and the attacks."""
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON} for the attacker")
    for name in ("lib", "lib64"):
        (machine.image / name).symlink_to(f"usr/{name}")
    for name in ("usr", "attack", "proc", "old"):
        (machine.image / name).mkdir()
    return machine


def attacker(*words: str, **fields: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The command, and the spec's fields with what it needs to run."""
    mounts = (
        Mount(source="/usr", target="/usr", read_only=True),
        Mount(source=str(ATTACK.parent), target="/attack", read_only=True),
    )
    fields = {"env": ("PATH=/bin",)} | fields
    fields["mounts"] = (*mounts, *fields.get("mounts", ()))
    return (PYTHON, "-IS", "/attack/attack.py", *words), fields


def attempt(cell: Machine, *words: str, **fields: Any) -> Answer:
    """What the attacker says that it got, in a container of its own."""
    command, fields = attacker(*words, **fields)
    _, output = cell.run(*command, **fields)
    return last_answer(output)


def on_the_host(*words: str) -> Answer:
    """The same program outside of any container, as root."""
    found = subprocess.run(
        [PYTHON, "-IS", str(ATTACK), *words],
        capture_output=True, text=True, timeout=60 * PATIENCE, check=True,
    )  # fmt: skip
    return last_answer(found.stdout)


def last_answer(output: str) -> Answer:
    lines = output.strip().splitlines()
    assert lines
    assert lines[-1].startswith("{"), output
    answer: Answer = json.loads(lines[-1])
    return answer


def test_a_default_container_of_ours_has_all_the_fences(cell: Machine) -> None:
    """What all refusals below rest on, so that none is for a reason that nobody thought of."""
    _, output = cell.run("cat", "/proc/self/status")

    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert status["CapEff"] == "00000000a80425fb"


# --- system calls ---------------------------------------------------------------------------

# What the kernel answers without any fence: 0 for success, or an error that comes only after
# the question of rights. Kernels without modules, kexec or accounting say that they have none.
UNFENCED: dict[str, tuple[int, ...]] = {
    "mount": (0,),
    "new_mount_api": (0,),
    "clone_mount": (0,),
    "change_mount": (0,),
    "pivot_root": (0,),
    "keyctl": (0,),
    "add_key": (0,),
    "bpf": (0,),
    "perf_event_open": (0, errno.ENOSYS),
    "unshare_user": (0,),
    "clone_user": (0,),
    "setns": (0,),
    "init_module": (errno.ENOEXEC, errno.ENOSYS),
    "finit_module": (errno.ENOEXEC, errno.ENOSYS),
    "delete_module": (errno.ENOENT, errno.ENOSYS),
    "kexec_load": (0, errno.EINVAL, errno.ENOSYS),
    "reboot": (errno.EINVAL,),  # what only the host's process 1 may have done
    "settimeofday": (0,),
    "swapon": (errno.ENOENT, errno.ENOSYS),
    "acct": (0, errno.ENOSYS),
    "io_uring": (0, errno.ENOSYS),
    "userfaultfd": (0, errno.ENOSYS),
    "vsock": (0, errno.EAFNOSUPPORT),
    "vsock_in_disguise": (0, errno.EAFNOSUPPORT),
}


@pytest.mark.parametrize("attack", sorted(UNFENCED))
def test_a_system_call_beyond_the_container_is_not_permitted(cell: Machine, attack: str) -> None:
    unfenced = attempt(cell, attack, **PRIVILEGED)
    fenced = attempt(cell, attack)

    assert unfenced["errno"] in UNFENCED[attack], unfenced
    assert (fenced["succeeded"], fenced["errno"]) == (False, errno.EPERM)


def test_a_user_namespace_cannot_be_had_from_clone3_either(cell: Machine) -> None:
    assert attempt(cell, "clone3_user", **PRIVILEGED)["succeeded"]
    assert attempt(cell, "clone3_user")["errno"] == errno.ENOSYS


def test_no_cgroup_can_be_mounted_from_a_user_namespace_of_ones_own(cell: Machine) -> None:
    """CVE-2022-0492, the way from a release agent to the host.

    That root in a new user namespace may mount some hierarchy depends on the kernel, which has
    been mended; that the namespace itself can be had without the fence is shown above.
    """
    assert attempt(cell, "release_agent")["errno"] == errno.EPERM


def test_the_filter_alone_keeps_the_keyrings_away(cell: Machine) -> None:
    """They need no capability, so nothing else would."""
    assert attempt(cell, "keyctl", seccomp="unconfined")["succeeded"]
    assert not attempt(cell, "keyctl")["succeeded"]


# --- files of the kernel ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/panic",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
    ],
)
def test_a_kernel_parameter_cannot_be_opened_for_writing(cell: Machine, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")

    assert attempt(cell, "write", path, **PRIVILEGED)["succeeded"]
    assert attempt(cell, "write", path)["errno"] == errno.EROFS


@pytest.mark.parametrize("attack", ["write_sys", "write_cgroups"])
def test_nothing_below_sys_can_be_opened_for_writing(cell: Machine, attack: str) -> None:
    assert attempt(cell, attack, **PRIVILEGED)["succeeded"]
    assert attempt(cell, attack)["errno"] in (errno.EROFS, errno.EACCES)


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list"])
def test_what_tells_about_the_host_is_empty(cell: Machine, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")

    assert attempt(cell, "read", path, **PRIVILEGED)["succeeded"]
    assert not attempt(cell, "read", path)["succeeded"]


@pytest.mark.parametrize(
    ("attack", "path"),
    [("remount_writable", "/proc/sys"), ("unmount", "/proc/sys"), ("unmount", "/proc/keys")],
)
def test_what_is_masked_or_read_only_stays_so(cell: Machine, attack: str, path: str) -> None:
    """The masks are there, and a capability is what it takes to remove them."""
    capable = {"capabilities": ("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"), "seccomp": "unconfined"}

    assert attempt(cell, attack, path, **capable)["succeeded"]
    assert attempt(cell, attack, path)["errno"] == errno.EPERM


# --- devices ----------------------------------------------------------------------------------


def disks() -> list[tuple[str, str, str]]:
    lines = Path("/proc/partitions").read_text().splitlines()[2:]
    return [("b", major, minor) for major, minor, _, _ in (line.split() for line in lines)]


KERNEL_LOG, MEMORY, FUSE = ("c", "1", "11"), ("c", "1", "1"), ("c", "10", "229")


@pytest.mark.parametrize("device", [*disks(), KERNEL_LOG, MEMORY, FUSE], ids=":".join)
def test_a_device_of_the_host_cannot_be_opened_through_a_node_of_ones_own(
    cell: Machine, device: tuple[str, str, str]
) -> None:
    """Disks above all. Some hosts, virtual ones, may not use their own disk themselves."""
    host = on_the_host("device", str(cell.base), *device)
    if host["errno"] not in (0, errno.EPERM):
        pytest.skip(f"this host has no such device: {os.strerror(host['errno'])}")

    unfenced = attempt(cell, "device", "/tmp", *device, **PRIVILEGED)
    fenced = attempt(cell, "device", "/tmp", *device)

    assert unfenced["succeeded"] == host["succeeded"]
    assert fenced["errno"] == errno.EPERM


def test_some_device_could_be_opened_without_the_fence(cell: Machine) -> None:
    """Or the test before this one would prove nothing on this host."""
    devices = [*disks(), KERNEL_LOG, MEMORY, FUSE]

    assert any(attempt(cell, "device", "/tmp", *d, **PRIVILEGED)["succeeded"] for d in devices)


def test_a_node_cannot_even_be_made_without_the_capability(cell: Machine) -> None:
    """The null device could be opened, so here only the making is refused."""
    null = ("device", "/tmp", "c", "1", "3")

    assert attempt(cell, *null)["succeeded"]
    assert attempt(cell, *null, capabilities=())["errno"] == errno.EPERM


# --- processes and files outside --------------------------------------------------------------


def test_a_process_outside_can_be_neither_seen_nor_traced(cell: Machine) -> None:
    """The container may trace; there is just nobody it could trace."""
    victim = subprocess.Popen(["sleep", "60"])
    try:
        assert on_the_host("trace", str(victim.pid))["succeeded"]
        assert attempt(cell, "trace_everyone") == {"succeeded": False, "errno": errno.ESRCH}
        assert attempt(cell, "trace", str(victim.pid))["errno"] == errno.ESRCH
    finally:
        victim.kill()
        victim.wait()


def test_a_file_of_the_host_cannot_be_opened_by_its_inode(cell: Machine) -> None:
    """A bind is a window on a whole file system for whoever may name inodes."""
    secret, window = cell.base / "secret", cell.base / "window"
    secret.write_text("of the host")
    window.mkdir()
    kind, handle = handle_of(secret)
    words = ("open_by_handle", "/window", str(kind), handle.hex())
    mounts = (Mount(source=str(window), target="/window"),)

    assert attempt(cell, *words, mounts=mounts, **PRIVILEGED)["found"] == "of the host"
    assert attempt(cell, *words, mounts=mounts)["errno"] == errno.EPERM


def handle_of(path: Path) -> tuple[int, bytes]:
    """name_to_handle_at(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 136)
    mount_id = ctypes.c_int()
    result = libc.name_to_handle_at(-100, os.fsencode(path), room, ctypes.byref(mount_id), 0)
    assert result == 0, os.strerror(ctypes.get_errno())
    size, kind = struct.unpack_from("<Ii", room.raw)
    return kind, room.raw[8 : 8 + size]


def test_the_root_of_process_1_is_the_containers_own(cell: Machine) -> None:
    secret = cell.base / "secret"
    secret.write_text("of the host")

    words = (str(os.getpid()), str(secret), str(cell.image))

    assert on_the_host("root_of_from_chroot", *words)["succeeded"]
    assert attempt(cell, "root_of", "1", str(secret))["errno"] == errno.ENOENT


def test_a_set_uid_program_gives_no_rights(cell: Machine) -> None:
    program = cell.image / "bin" / "set-uid"
    shutil.copy("/usr/bin/id", program)  # busybox itself would give the rights up
    program.chmod(0o4755)

    def euid(**fields: Any) -> str:
        command, fields = attacker("set_uid", **fields)
        _, output = cell.run(*command, **fields)
        return output.splitlines()[0]

    assert euid(no_new_privs=False) == "0"
    assert euid() == "1000"


def test_another_containers_files_are_out_of_reach(cell: Machine) -> None:
    """1. One container writes a file and waits.
    2. Another one tries to open it where it is on the host; with a bind it could.
    3. The other one changes a file of the image that both have.
    4. Neither the first container nor the image has that change.
    """
    command, fields = attacker("write_elsewhere", "PATH")
    signal = cell.base / "signal"
    signal.mkdir()

    async def story() -> tuple[Answer, Answer, str]:
        async with cell.runtime() as runtime:
            script = "echo mine > /mine; until test -e /signal/go; do sleep 0.01; done;"
            mounts = (Mount(source=str(signal), target="/signal"),)
            first = cell.spec("sh", "-c", f"{script} cat /mine /data/inner/file", mounts=mounts)
            await runtime.run(first)
            upper = Path(first.rootfs.upper_dir)
            await eventually("the file is there", (upper / "mine").exists)
            answers = [
                await answer_of(runtime, upper, ()),
                await answer_of(runtime, upper, (Mount(source=str(upper), target=str(upper)),)),
            ]
            spoiler = cell.spec("sh", "-c", "echo spoiled > /data/inner/file; cat /data/inner/file")
            await cell.finish(runtime, spoiler)
            assert cell.output(spoiler.id) == "spoiled\n"
            (signal / "go").touch()
            await exit_of(runtime)
            output = cell.output(first.id)
            for each in (first, spoiler):
                await runtime.delete(each.id)
            return answers[0], answers[1], output

    async def answer_of(runtime: Any, upper: Path, mounts: tuple[Mount, ...]) -> Answer:
        words = tuple(word.replace("PATH", f"{upper}/mine") for word in command)
        spec = cell.spec(*words, **fields | {"mounts": (*fields["mounts"], *mounts)})
        await cell.finish(runtime, spec)
        answer = last_answer(cell.output(spec.id))
        await runtime.delete(spec.id)
        return answer

    fenced, unfenced, output = asyncio.run(story())

    assert unfenced["succeeded"]
    assert (fenced["succeeded"], fenced["errno"]) == (False, errno.ENOENT)
    assert output == "mine\nfrom the image\n"
    assert (cell.image / "data/inner/file").read_text() == "from the image\n"


# --- more than one's share --------------------------------------------------------------------


def test_a_fork_bomb_is_held_to_its_number_of_processes(cell: Machine) -> None:
    assert attempt(cell, "fork_bomb", "200")["succeeded"]

    fenced = attempt(cell, "fork_bomb", "200", resources=Resources(pids_limit=30))

    assert fenced["errno"] == errno.EAGAIN


def test_a_memory_hog_is_killed_and_that_is_told(cell: Machine) -> None:
    command, fields = attacker("hog_memory", str(256 << 20))

    unfenced, _ = cell.run(*command, **fields)
    fenced, _ = cell.run(*command, **fields, resources=Resources(memory_bytes=64 << 20))

    assert (unfenced.exit_code, unfenced.oom_killed) == (0, False)
    assert (fenced.exit_code, fenced.oom_killed) == (137, True)


def test_a_cpu_hog_is_held_to_its_quota(cell: Machine) -> None:
    """Two busy processes on a tenth of a CPU: within 5 %, and a period at either end."""
    seconds, quota, period_s = 5.0, 0.1, 0.1

    unfenced = attempt(cell, "hog_cpu", "1")["found"]
    fenced = attempt(cell, "hog_cpu", str(seconds), resources=Resources(cpu_millis=100))["found"]

    assert unfenced > 1.5 * quota  # whatever else this machine is busy with
    # In an emulator a CPU that stands still is charged to whoever was on it.
    exact = PATIENCE == 1
    assert fenced <= quota * (1.05 + period_s / seconds) if exact else fenced < unfenced / 2
    assert fenced > quota / 2  # or something else held it


# --- the runtime's own executable -------------------------------------------------------------


# A read-only mount of the executable, or a sealed copy in memory.
SEALED = (errno.EROFS, errno.EPERM)


def interpreter_environment() -> tuple[tuple[str, ...], tuple[Mount, ...]]:
    """What the runtime's interpreter needs to run inside: an image may well contain that."""
    prefix = sys.base_prefix
    mounts = () if prefix.startswith("/usr") else (
        Mount(source=prefix, target=prefix, read_only=True),
    )  # fmt: skip
    return ("PATH=/bin", f"PYTHONHOME={prefix}", "PYTHONDONTWRITEBYTECODE=1"), mounts


def test_an_ordinary_executable_can_be_overwritten_once_nobody_runs_it(tmp_path: Path) -> None:
    """The attack as it is, on a copy: why a runtime must not be executed from its own file."""
    copy = tmp_path / "python"
    shutil.copy(Path(PYTHON).resolve(), copy)
    found = subprocess.run(
        [str(copy), "-IS", str(ATTACK), "keep_own_executable",
         PYTHON, "-IS", str(ATTACK), "overwrite_kept", "FD", "10"],
        capture_output=True, text=True, timeout=30 * PATIENCE, check=True,
        env={"PYTHONHOME": "/usr"},
    )  # fmt: skip

    assert last_answer(found.stdout)["found"] == str(copy)


def test_the_runtime_cannot_be_overwritten_by_an_image_that_runs_it(cell: Machine) -> None:
    """CVE-2019-5736, the first way: the entrypoint's interpreter is /proc/self/exe.

    When the runtime executes it, the kernel opens the runtime's own executable, in the
    container. The program that this starts holds on to it and becomes another one.
    """
    program = cell.image / "bin" / "evil"
    program.write_text("#!/proc/self/exe /attack/evil.py\n")
    program.chmod(0o755)
    evil = cell.base / "evil"
    evil.mkdir()
    shutil.copy(ATTACK, evil / "attack.py")
    # A script's line has room for one word beside the interpreter: this is that word.
    (evil / "evil.py").write_text(
        "import sys; sys.argv[1:] = ['keep_own_executable', '/usr/bin/python3', '-IS',"
        " '/attack/attack.py', 'overwrite_kept', 'FD', '1']\n"
        "exec(open('/attack/attack.py').read())\n"
    )
    env, mounts = interpreter_environment()
    _, fields = attacker(env=env, mounts=mounts)
    fields["mounts"] = tuple(
        Mount(source=str(evil), target="/attack", read_only=True) if m.target == "/attack" else m
        for m in fields["mounts"]
    )

    exited, output = cell.run("/bin/evil", **fields)

    answer = last_answer(output)  # so it did run: our interpreter, in the container
    assert exited.exit_code == 0
    assert (answer["succeeded"], answer["errno"] in SEALED) == (False, True)


def visited(cell: Machine, visit: Visit, **fields: Any) -> Answer:
    """What an attacker gets that lies in wait for whoever comes into its container."""
    signal = cell.base / "signal"
    signal.mkdir(exist_ok=True)
    for name in ("ready", "ready.caught", "ready.stop"):
        (signal / name).unlink(missing_ok=True)
    shared = (Mount(source=str(signal), target="/signal"),)
    command, fields = attacker("catch_visitors", "600", "/signal/ready", mounts=shared, **fields)

    async def story() -> str:
        async with cell.runtime() as runtime:
            spec = cell.spec(*command, **fields)
            started = await runtime.run(spec)
            await eventually("it lies in wait", (signal / "ready").exists)
            await visit(runtime, spec.id, started.pid)
            (signal / "ready.stop").touch()
            await exit_of(runtime)
            output = cell.output(spec.id)
            await runtime.delete(spec.id)
            return output

    return last_answer(asyncio.run(story()))


async def visit_by_exec(runtime: Runtime, container_id: str, _: int) -> None:
    for _ in range(10):
        program = await runtime.exec(container_id, ExecSpec(args=("/bin/true",)))
        assert await program.wait() == 0
        program.close()


def test_a_visitor_from_the_host_would_be_caught(cell: Machine) -> None:
    """CVE-2019-5736, the second way: the executable of who comes to a container is open to it."""
    copies = [str(cell.base / name) for name in ("nsenter", "sleep")]
    for copy in copies:
        shutil.copy(f"/usr/bin/{Path(copy).name}", copy)

    async def enter(_: Runtime, __: str, pid: int) -> None:
        entering = (copies[0], "-t", str(pid), "-p", copies[1], "60")
        process = await asyncio.create_subprocess_exec(*entering)
        await eventually("it is caught", (cell.base / "signal/ready.caught").exists)
        for inside in children(process.pid):
            os.kill(inside, SIGKILL)
        await process.wait()

    assert visited(cell, enter, **PRIVILEGED)["found"] in copies


def test_an_exec_gives_nothing_away(cell: Machine) -> None:
    """Not to a default container, which may not look, nor to one that may trace everything."""
    capable = {"capabilities": (*CAPABILITIES, "CAP_SYS_PTRACE"), "seccomp": "unconfined"}

    for fields, expected in (
        ({}, (errno.EACCES,)),
        (capable, SEALED),
        (PRIVILEGED, SEALED),
    ):
        answer = visited(cell, visit_by_exec, **fields)
        assert (answer["succeeded"], answer["errno"] in expected) == (False, True)


# --- races and descriptors --------------------------------------------------------------------


def test_a_careless_mount_follows_a_link_out_of_the_root(tmp_path: Path) -> None:
    """CVE-2021-30465 as it is: what the runtime must not do."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    for directory in (source, outside, tmp_path / "root"):
        directory.mkdir()
    (source / "mark").touch()
    (tmp_path / "root" / "target").symlink_to(outside)

    assert on_the_host("naive_bind", str(source), str(tmp_path / "root" / "target"))["found"] == [
        "mark"
    ]


def test_a_mount_target_that_turns_into_a_link_leads_nowhere_else(cell: Machine) -> None:
    """CVE-2021-30465: a volume is shared, and who shares it swaps a mount's target for a link.

    1. A container exchanges a directory of the volume with a link to a directory that only
       the host has, for ever.
    2. Containers that mount something on that directory start one after the other.
    3. Whatever each of them gets, it is mounted within its own root: on the directory, or
       where the link leads within the container. Nothing appears on the host, where the
       link leads for whoever does not look.
    """
    volume, source, outside = cell.base / "volume", cell.base / "source", cell.base / "outside"
    for directory in (volume / "target", source, outside):
        directory.mkdir(parents=True)
    (source / "mark").touch()
    (outside / "of-the-host").touch()
    (volume / "link").symlink_to(outside)
    shared = Mount(source=str(volume), target="/volume")
    swap, fields = attacker("swap_for_ever", "/volume/target", "/volume/link", mounts=(shared,))
    victim = "cat /proc/self/mountinfo; echo; ls -R /volume " + str(outside)
    results: list[str] = []

    async def story() -> None:
        async with cell.runtime() as runtime:
            swapping = cell.spec(*swap, **fields)
            await runtime.run(swapping)
            await eventually("it swaps", lambda: "swapping" in cell.output(swapping.id))
            for _ in range(40):
                mounts = (shared, Mount(source=str(source), target="/volume/target"))
                spec = cell.spec("sh", "-c", victim, mounts=mounts)
                try:
                    await cell.finish(runtime, spec)
                except KernelRefused as no:
                    results.append(f"refused {no.step}")
                    continue
                results.append(cell.output(spec.id))
                await runtime.delete(spec.id)
            await runtime.kill(swapping.id, 9)
            await exit_of(runtime)
            await runtime.delete(swapping.id)

    asyncio.run(story())

    started = [each for each in results if not each.startswith("refused")]
    assert len(started) >= 10, results
    for each in started:
        mountinfo, _, listing = each.partition("\n\n")
        targets = [line.split()[4] for line in mountinfo.splitlines()]
        assert {"/volume/target", "/volume/link", str(outside)} & set(targets)
        assert "of-the-host" not in listing
    assert [each.name for each in outside.iterdir()] == ["of-the-host"]


def test_a_leaked_directory_would_lead_out_of_a_root(cell: Machine) -> None:
    """CVE-2024-21626 as it is: a descriptor of the host's root is all that it takes."""
    assert "proc" in on_the_host("leaked_directory", str(cell.image))["found"]
    assert set(on_the_host("leaked_directory", str(cell.image))["found"]) >= {"usr", "etc", "root"}


@pytest.mark.parametrize("through_link", [False, True])
def test_no_descriptor_of_the_runtime_can_be_a_working_directory(
    cell: Machine, through_link: bool
) -> None:
    """CVE-2024-21626: the image or its user says that it works in /proc/self/fd/7."""
    (cell.base / "of-the-host").touch()
    seen: list[str] = []
    for number in range(3, 24):
        workdir = f"/proc/self/fd/{number}"
        if through_link:
            (cell.image / f"work{number}").symlink_to(workdir)
            workdir = f"/work{number}"
        script = "pwd; ls -a . .. ../.. ../../.. 2>&1; true"
        with contextlib.suppress(SwarmError):
            _, output = cell.run("sh", "-c", script, workdir=workdir)
            seen.append(output)

    assert not [each for each in seen if "of-the-host" in each or "root" in each.split()]


def test_no_descriptor_of_the_shim_can_be_the_working_directory_of_an_exec(cell: Machine) -> None:
    """The shim has open what a container needs, and forks whoever joins it."""
    (cell.base / "of-the-host").touch()
    script = "ls -a . .. ../.. ../../.. 2>&1; true"

    async def story() -> list[bytes]:
        seen: list[bytes] = []
        async with cell.runtime() as runtime:
            spec = cell.spec("sleep", "600")
            await runtime.run(spec)
            for workdir in ("/data", *(f"/proc/self/fd/{number}" for number in range(3, 24))):
                asked = ExecSpec(args=("/bin/sh", "-c", script), workdir=workdir)
                with contextlib.suppress(SwarmError):
                    program = await runtime.exec(spec.id, asked)
                    seen.append(await asyncio.to_thread(read_all, program.stdout_fd))
                    await program.wait()
                    program.close()
            await runtime.kill(spec.id, 9)
            await exit_of(runtime)
            await runtime.delete(spec.id)
        return seen

    seen = asyncio.run(story())
    assert b"inner" in seen[0]  # an ordinary directory
    assert not [each for each in seen if b"of-the-host" in each or b"boot" in each]


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    parts: list[bytes] = []
    while not parts or parts[-1]:
        parts.append(os.read(descriptor, 1 << 16))
    return b"".join(parts)


def test_all_of_this_leaves_the_host_as_it_was(cell: Machine) -> None:
    """The attacks above open what they find, and write nothing."""
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()

    attempt(cell, "write", "/proc/sys/kernel/core_pattern", **PRIVILEGED)

    assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before
