"""Programs in containers on other hosts: streams, terminals, and everyone's death."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import BIN, Host, members, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def target(swarm: Swarm) -> str:
    """`web.1`, a task on host3; the manager is host1."""
    swarm.manager.ctl(
        "service", "create", "-q", "--restart-delay", "0s", "--name", "web",
        "--constraint", "node.hostname==host3", swarm.image,
    )  # fmt: skip
    swarm.wait_running("web", 1, within_s=60)
    return "web.1"


def start(host: Host, *args: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(BIN / "swarmctl"), "-H", host.url, *args],
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def programs(host: Host, word: str) -> list[int]:
    """Processes of this host's containers whose command line holds `word`."""
    groups = Path("/sys/fs/cgroup/pids", host.cgroup_parent)
    return [pid for pid in members(groups) if _is_called(pid, word)]


def _is_called(pid: int, word: str) -> bool:
    try:
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def can_run(swarm: Swarm) -> bool:
    """Whether `web.1` can be reached."""
    return swarm.manager.ctl("exec", "web.1", "true", check=False).returncode == 0


class Terminal:
    """A person at a terminal."""

    def __init__(self, host: Host, *args: str, rows: int = 33, columns: int = 111) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            ["setsid", "-c", str(BIN / "swarmctl"), "-H", host.url, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        self.slave = slave
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def see(self, text: bytes, *, within_s: float = 30) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait(self, within_s: float = 30) -> int:
        """Read on until it ends; its exit code."""
        deadline = time.monotonic() + within_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.05)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(host: Host, *args: str, **size: int) -> Iterator[Terminal]:
    found = Terminal(host, *args, **size)
    try:
        yield found
    finally:
        found.close()


def test_a_program_runs_on_another_host_and_its_exit_code_is_ours(
    swarm: Swarm, target: str
) -> None:
    done = swarm.manager.ctl(
        "exec", "-e", "GREETING=hello", "-w", "/etc", target,
        "sh", "-c", 'echo "$GREETING from $(pwd)"; echo oops >&2; exit 42', check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr, done.returncode) == ("hello from /etc\n", "oops\n", 42)


def test_a_task_may_be_named_in_every_way(swarm: Swarm, target: str) -> None:
    (task,) = swarm.running("web")

    for name in (target, "web", task["id"], task["id"][:8], f"web.1.{task['id']}"):
        assert swarm.manager.ctl("exec", name, "hostname").stdout.strip() == task["id"][:12]


def test_pipes_pass_through_and_end(swarm: Swarm, target: str) -> None:
    done = swarm.manager.ctl("exec", "-i", target, "cat", stdin=b"x\n")

    assert done.stdout == "x\n"


def test_a_program_that_is_not_there_or_cannot_run_has_dockers_exit_codes(
    swarm: Swarm, target: str
) -> None:
    missing = swarm.manager.ctl("exec", target, "nosuch", check=False)
    refused = swarm.manager.ctl("exec", target, "/etc/passwd", check=False)
    killed = swarm.manager.ctl("exec", target, "sh", "-c", "kill -9 $$", check=False)

    assert missing.returncode == 127
    assert "nosuch" in missing.stderr
    assert refused.returncode == 126
    assert killed.returncode == 137


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("web.7", "task 'web.7' not found"),
        ("none", "task 'none' not found"),
    ],
)
def test_what_is_no_task_is_said_plainly(
    swarm: Swarm, target: str, task: str, message: str
) -> None:
    done = swarm.manager.ctl("exec", task, "true", check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_a_worker_may_not_run_programs(swarm: Swarm, target: str) -> None:
    for words in (("exec", target, "true"), ("attach", target), ("top", target), ("stats",)):
        done = swarm.workers[1].ctl(*words, check=False)

        assert done.returncode == 1
        assert "is a worker and may not call" in done.stderr
        assert "run this command on a manager" in done.stderr


def test_large_streams_pass_both_ways_intact(swarm: Swarm, target: str, tmp_path: Path) -> None:
    size = 200 << 20
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    digest = hashlib.sha256()
    with source.open("rb") as file:
        process = start(swarm.manager, "exec", "-i", target, "cat", stdin=file)
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            digest.update(chunk)

        process.communicate(timeout=60)

    assert process.returncode == 0
    with source.open("rb") as file:
        assert digest.digest() == hashlib.file_digest(file, "sha256").digest()


def test_whoever_reads_slowly_stops_the_program_and_fills_nobodys_memory(
    swarm: Swarm, target: str
) -> None:
    """1. A program writes without end; its reader takes a little and then nothing.
    2. Manager and agents stay as small as they are.
    3. The reader goes on, and the program with it.
    """

    def memory() -> dict[int, int]:
        hosts = (swarm.manager, swarm.host("host3"))
        pids = [
            pid for each in hosts for pid in each.pids_of("manager.main", "agent.main", "swarmd")
        ]
        return {pid: _resident(pid) for pid in (*pids, process.pid)}

    process = start(swarm.manager, "exec", target, "sh", "-c", "exec cat /dev/zero")
    try:
        assert process.stdout is not None
        assert process.stdout.read(1 << 20) == bytes(1 << 20)
        before = memory()
        time.sleep(3)
        after = memory()
        grown = {pid: after[pid] - size for pid, size in before.items() if pid in after}
        assert max(grown.values()) < 24 << 20, grown
        assert process.stdout.read(64 << 20) == bytes(64 << 20)
    finally:
        process.kill()
        process.communicate()
    wait_for("it is gone", lambda: not programs(swarm.host("host3"), "/dev/zero"), within_s=30)


def test_fifty_programs_run_at_once(swarm: Swarm, target: str) -> None:
    running = [
        start(swarm.manager, "exec", target, "sh", "-c", f"echo {n}; exit {n}") for n in range(50)
    ]

    ended = [(each.communicate(timeout=60)[0], each.returncode) for each in running]

    assert ended == [(b"%d\n" % n, n) for n in range(50)]


def test_a_terminal_has_our_size_follows_it_and_is_given_back(swarm: Swarm, target: str) -> None:
    with terminal(swarm.manager, "exec", "-it", target, "sh") as person:
        person.see(b"# ")
        assert person.is_raw()
        person.type(b"stty size; echo $TERM\r")
        person.see(b"33 111\r\nxterm\r\n")
        person.resize(44, 122)
        wait_for("resized", lambda: _typed(person, b"stty size\r", b"44 122\r\n"), within_s=30)
        person.type(b"exit 9\r")

        assert person.wait() == 9
        assert person.is_as_before()


def _typed(person: Terminal, text: bytes, wanted: bytes) -> bool:
    person.type(text)
    try:
        person.see(wanted, within_s=1)
    except AssertionError:
        return False
    return True


def test_ctrl_c_is_the_programs_and_not_ours(swarm: Swarm, target: str) -> None:
    with terminal(swarm.manager, "exec", "-it", target, "sh") as person:
        person.see(b"# ")
        person.type(b"sleep 1000\r")
        wait_for("sleeps", lambda: programs(swarm.host("host3"), "sleep\x001000"), within_s=30)
        person.type(b"\x03")
        person.type(b"echo still $((40+2))\r")
        person.see(b"still 42")
        person.type(b"exit\r")
        person.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_and_ends_the_program(
    swarm: Swarm, target: str, number: int
) -> None:
    with terminal(
        swarm.manager, "exec", "-it", target, "sh", "-c", "echo up; sleep 4321"
    ) as person:
        person.see(b"up")
        person.process.send_signal(number)

        assert person.wait() == 128 + number
        assert person.is_as_before()
    wait_for("ended", lambda: not programs(swarm.host("host3"), "4321"), within_s=30)


def test_detach_keys_leave_the_program_running(swarm: Swarm, target: str) -> None:
    with terminal(
        swarm.manager, "exec", "-it", target, "sh", "-c", "echo up; exec sleep 8765"
    ) as p:
        p.see(b"up")
        p.type(b"\x10\x11")

        assert p.wait() == 0
        assert p.is_as_before()
        p.see(b"read escape sequence")
    (left,) = wait_for("goes on", lambda: programs(swarm.host("host3"), "8765"), within_s=30)
    os.kill(left, signal.SIGKILL)


def test_a_detached_program_goes_on_by_itself(swarm: Swarm, target: str) -> None:
    swarm.manager.ctl("exec", "-d", target, "sleep", "7654")

    (left,) = wait_for("runs", lambda: programs(swarm.host("host3"), "7654"), within_s=30)
    os.kill(left, signal.SIGKILL)


def test_a_killed_caller_takes_its_program_along(swarm: Swarm, target: str) -> None:
    process = start(swarm.manager, "exec", target, "sleep", "6543")
    wait_for("runs", lambda: programs(swarm.host("host3"), "6543"), within_s=30)

    process.kill()
    process.communicate()

    wait_for("ended", lambda: not programs(swarm.host("host3"), "6543"), within_s=30)


def test_an_agent_that_dies_ends_the_call_with_a_reason(swarm: Swarm, target: str) -> None:
    host = swarm.host("host3")
    process = start(swarm.manager, "exec", target, "sleep", "5432")
    wait_for("runs", lambda: programs(host, "5432"), within_s=30)
    before = host.containers()

    host.kill("agent.main")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert b"Error: " in errors
    wait_for("program ended", lambda: not programs(host, "5432"), within_s=30)
    wait_for("agent back", lambda: can_run(swarm), within_s=60)
    assert host.containers() == before


def test_a_node_that_is_cut_off_ends_the_call_within_seconds(swarm: Swarm, target: str) -> None:
    host = swarm.host("host3")
    wait_for("reachable", lambda: can_run(swarm), within_s=60)
    process = start(swarm.manager, "exec", target, "sleep", "4444")
    wait_for("runs", lambda: programs(host, "4444"), within_s=30)
    host.cut()
    try:
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"session of node" in errors
        assert time.monotonic() - began < 20
        wait_for("program ended there", lambda: not programs(host, "4444"), within_s=60)
    finally:
        host.mend()
    wait_for("node back", lambda: can_run(swarm), within_s=60)


def test_a_manager_that_dies_ends_the_call_and_its_program(swarm: Swarm, target: str) -> None:
    host = swarm.host("host3")
    process = start(swarm.manager, "exec", target, "sleep", "3333")
    wait_for("runs", lambda: programs(host, "3333"), within_s=30)

    swarm.manager.kill("manager.main")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert b"went away" in errors
    wait_for("program ended", lambda: not programs(host, "3333"), within_s=60)
    wait_for("manager back", lambda: can_run(swarm), within_s=60)


def test_events_and_logs_tell_who_ran_what_but_no_secret(swarm: Swarm, target: str) -> None:
    since = str(time.time() - 1)
    swarm.manager.ctl("exec", "-e", "KEY=s3cret", target, "sh", "-c", "exit 33", check=False)

    def ended() -> list[dict[str, str]]:
        events = swarm.manager.ctl(
            "events", "--since", since, "--until", str(time.time()), "--format", "json"
        ).stdout
        found = [json.loads(line) for line in events.splitlines()]
        attributes = [each["Actor"]["Attributes"] for each in found if each["Action"] == "exec_die"]
        return [each for each in attributes if each["command"] == "sh -c exit 33"]

    (end,) = wait_for("it is told", ended, within_s=30)
    assert (end["exit_code"], end["name"]) == ("33", "web.1")
    for host in (swarm.manager, swarm.host("host3")):
        log = host.log
        wait_for("it is logged", lambda log=log: "task.exec_ended" in log.read_text(), within_s=30)
        assert "s3cret" not in log.read_text()


def test_top_lists_processes_as_ps_does(swarm: Swarm, target: str) -> None:
    lines = swarm.manager.ctl("top", target).stdout.splitlines()
    chosen = swarm.manager.ctl("top", target, "-o", "pid,user,comm").stdout.splitlines()

    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any(line.startswith("root") and "sh -c echo started" in line for line in lines[1:])
    assert chosen[0].split() == ["PID", "USER", "COMMAND"]
    assert any(line.split()[1:] == ["root", "sh"] for line in chosen[1:])


def test_stats_show_what_tasks_use(swarm: Swarm, target: str) -> None:
    form = "{{.Name}} {{.Node}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}}"

    def busy() -> list[str]:
        words = swarm.manager.ctl("stats", "--no-stream", "--format", form).stdout.split()
        return words if float(words[2].removesuffix("%")) > 10 else []

    spinning = start(swarm.manager, "exec", target, "sh", "-c", "while :; do :; done")
    try:
        name, node, _, pids, used, *_ = wait_for("it spins", busy, within_s=30)
    finally:
        spinning.kill()
        spinning.communicate()

    assert (name, node) == ("web.1", "host3")
    assert int(pids) >= 2
    assert used.endswith("iB")


def test_stats_go_on_until_they_are_stopped(swarm: Swarm, target: str) -> None:
    process = start(swarm.manager, "stats")
    assert process.stdout is not None
    headings = 0
    while headings < 2:
        headings += process.stdout.readline().startswith(b"TASK ID")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130


def test_a_paused_task_stands_still_and_goes_on(swarm: Swarm, target: str) -> None:
    swarm.manager.ctl("pause", target)
    try:
        refused = swarm.manager.ctl("exec", target, "true", check=False)
        assert refused.returncode == 1
        assert "is paused" in refused.stderr
    finally:
        swarm.manager.ctl("unpause", target)

    assert swarm.manager.ctl("exec", target, "echo", "on").stdout == "on\n"


def test_attach_hears_what_the_task_writes_and_leaving_does_it_no_harm(
    swarm: Swarm, target: str
) -> None:
    (before,) = swarm.host("host3").containers().values()
    process = start(swarm.manager, "attach", "--no-stdin", "--sig-proxy=false", target)
    try:
        os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr]
        heard = bytearray()

        def hears() -> bool:
            swarm.manager.ctl("exec", target, "sh", "-c", "echo ping > /proc/1/fd/1")
            heard.extend(process.stdout.read() or b"")  # type: ignore[union-attr]
            return b"ping\n" in heard

        wait_for("heard", hears, within_s=30)
    finally:
        process.terminate()
        process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGTERM
    assert list(swarm.host("host3").containers().values()) == [before]


def test_attach_passes_signals_on_and_ends_with_the_task(swarm: Swarm, target: str) -> None:
    swarm.manager.ctl(
        "service", "create", "-q", "--name", "brief", "--restart-condition", "none",
        "--constraint", "node.hostname==host3", swarm.image,
        "sh", "-c", "trap 'echo bye; exit 6' USR1; while :; do echo tick; sleep 0.1; done",
    )  # fmt: skip
    process = start(swarm.manager, "attach", "brief.1")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"tick\n"
        process.send_signal(signal.SIGUSR1)
        out, _ = process.communicate(timeout=60)
    finally:
        swarm.manager.ctl("service", "rm", "brief")

    assert out.endswith(b"bye\n")
    assert process.returncode == 6


def test_attach_to_a_terminal_is_shared_and_left_by_keys(swarm: Swarm) -> None:
    """1. A task has a terminal; two people join it.
    2. What one types, both see; the size follows.
    3. One leaves by the keys, the other ends the shell: its exit code is hers.
    """
    swarm.manager.ctl(
        "service", "create", "-q", "--name", "shell", "--tty", "--restart-condition", "none",
        "--constraint", "node.hostname==host3", swarm.image, "sh",
    )  # fmt: skip
    try:
        with (
            terminal(swarm.manager, "attach", "shell.1") as one,
            terminal(swarm.manager, "attach", "shell") as other,
        ):
            wait_for("one hears", lambda: _typed(one, b"echo $((40+2))\r", b"42\r\n"), within_s=30)
            wait_for(
                "other hears", lambda: _typed(other, b"echo $((50+5))\r", b"55\r\n"), within_s=30
            )
            one.see(b"55\r\n")
            other.resize(21, 77)
            wait_for("resized", lambda: _typed(other, b"stty size\r", b"21 77\r\n"), within_s=30)
            one.type(b"\x10\x11")
            assert one.wait() == 0
            assert one.is_as_before()
            other.type(b"exit 11\r")
            assert other.wait() == 11
            assert other.is_as_before()
    finally:
        swarm.manager.ctl("service", "rm", "shell")


def test_attach_writes_to_a_task_that_listens(swarm: Swarm) -> None:
    swarm.manager.ctl(
        "service", "create", "-q", "--name", "listener", "--interactive",
        "--restart-condition", "none", "--constraint", "node.hostname==host3",
        swarm.image, "sh", "-c", "while read line; do echo got $line; done; exit 4",
    )  # fmt: skip
    try:
        done = swarm.manager.ctl("attach", "listener", stdin=b"one\ntwo\n", check=False)
    finally:
        swarm.manager.ctl("service", "rm", "listener")

    assert (done.stdout, done.returncode) == ("got one\ngot two\n", 4)


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
