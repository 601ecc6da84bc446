"""Every command of swarm-runtime, on real bundles."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.kernel.bundles import Bundles, Config
from tests.kernel.machine import PATIENCE, system_call, wait_for

pytestmark = pytest.mark.kernel

SELECT = (23, 270)  # select and pselect6, by their numbers on x86


def test_a_container_is_created_started_killed_and_deleted(bundles: Bundles) -> None:
    name = bundles.bundle("sleep", "1000")

    bundles.create(name, "--pid-file", str(bundles.base / "pid"))
    created = bundles.state(name)
    bundles.run("start", name)
    running = bundles.state(name)
    bundles.run("kill", name, "KILL")
    bundles.wait_for_status(name, "stopped")
    stopped = bundles.state(name)
    bundles.run("delete", name)

    assert created["status"] == "created"
    assert running["status"] == "running"
    assert created["pid"] == running["pid"] == int((bundles.base / "pid").read_text())
    assert stopped["pid"] == 0
    assert created["ociVersion"] == "1.2.1"
    assert created["id"] == name
    assert created["bundle"] == str(bundles.path(name))
    assert created["rootfs"] == str(bundles.rootfs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", created["created"])
    assert "does not exist" in bundles.run("state", name, ok=False).stderr


def test_the_program_does_not_run_before_start(bundles: Bundles) -> None:
    name = bundles.bundle("sh", "-c", "echo ran; sleep 1000")
    output = bundles.base / "output"

    with output.open("w") as file:
        bundles.create(name, stdout=file)
    exe = str(Path(f"/proc/{bundles.state(name)['pid']}/exe").readlink())
    before = output.read_text()
    bundles.run("start", name)

    wait_for("it has run", lambda: output.read_text() == "ran\n")
    assert before == ""
    assert "busybox" not in exe


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 0)])
def test_run_ends_as_the_program_does(bundles: Bundles, script: str, status: int) -> None:
    name = bundles.bundle("sh", "-c", f"echo out; echo err >&2; {script}")

    done = bundles.foreground(name)

    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert done.returncode == status  # process 1 of a namespace cannot kill itself
    assert bundles.run("list", "-q").stdout == ""


def test_a_program_killed_from_outside_is_told_by_its_signal(bundles: Bundles) -> None:
    name = bundles.bundle("sleep", "1000")
    with bundles.start("run", "-b", str(bundles.path(name)), name) as process:
        wait_for("it runs", lambda: name in bundles.run("list", "-q").stdout)
        bundles.wait_for_status(name, "running")
        bundles.run("kill", name, "9")

        assert process.wait(20) == 128 + 9


def test_standard_input_reaches_the_program(bundles: Bundles) -> None:
    name = bundles.bundle("cat")
    (bundles.base / "in").write_text("through\n")

    with (bundles.base / "in").open() as given:
        assert bundles.foreground(name, stdin=given).stdout == "through\n"


def test_signals_to_run_reach_the_program(bundles: Bundles) -> None:
    name = bundles.bundle("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done")
    words = ("run", "-b", str(bundles.path(name)), name)
    with bundles.start(*words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 7


def test_run_keeps_what_it_is_asked_to_keep(bundles: Bundles) -> None:
    name = bundles.bundle("true")

    bundles.foreground(name, "--keep")

    assert bundles.status(name) == "stopped"


def test_a_detached_container_outlives_its_command(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    assert bundles.status(name) == "running"
    assert Path(f"/proc/{bundles.state(name)['pid']}/root").exists()


def test_kill_takes_names_and_numbers_and_means_term_by_default(bundles: Bundles) -> None:
    script = (
        'for s in TERM HUP USR1; do trap "echo $s" $s; done; echo up; while :; do sleep 0.01; done'
    )
    name = bundles.bundle("sh", "-c", script)
    output = bundles.base / "output"
    with output.open("w") as file:
        bundles.run("run", "-d", "-b", str(bundles.path(name)), name, stdout=file)
    wait_for("up", lambda: "up" in output.read_text())

    for words, wanted in ((("SIGHUP",), "HUP"), (("10",), "USR1"), ((), "TERM")):
        bundles.run("kill", name, *words)
        wait_for(wanted, lambda wanted=wanted: output.read_text().endswith(f"{wanted}\n"))


def test_kill_all_reaches_every_process(bundles: Bundles) -> None:
    name = bundles.launch("sh", "-c", "sleep 1001 & sleep 1002 & wait; sleep 1003")
    pids = wait_for(
        "three run", lambda: (p := json.loads(ps_json(bundles, name))) and len(p) == 3 and p
    )

    bundles.run("kill", "--all", name, "KILL")

    wait_for("all are gone", lambda: not any(Path(f"/proc/{pid}/root").exists() for pid in pids))
    bundles.wait_for_status(name, "stopped")
    bundles.run("kill", "--all", name, "KILL")  # nobody is left, as was wanted


def ps_json(bundles: Bundles, name: str) -> str:
    return bundles.run("ps", "-f", "json", name).stdout


def test_without_a_pid_namespace_a_kill_ends_all(bundles: Bundles) -> None:
    def share(config: Config) -> None:
        kinds = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [each for each in kinds if each["type"] != "pid"]

    name = bundles.launch("sh", "-c", "sleep 1001 & sleep 1002 & wait", change=share)
    pids = wait_for(
        "three run", lambda: (p := json.loads(ps_json(bundles, name))) and len(p) == 3 and p
    )

    bundles.run("kill", name, "KILL")

    wait_for("all are gone", lambda: not any(Path(f"/proc/{pid}/root").exists() for pid in pids))


def test_exec_runs_another_program_with_the_containers_own_settings(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000", cwd="/data")

    done = bundles.run(
        "exec", name, "sh", "-c", "echo $PATH; pwd; id -u; hostname; exit 3", ok=False
    )

    assert done.returncode == 3
    assert done.stdout.split() == ["/bin", "/data", "0", "swarm-runtime"]


def test_exec_takes_flags(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    flags = (
        "--cwd", "/tmp", "-e", "A=1", "--env", "B=2", "--user", "1000:1001",
        "-g", "44", "--cap", "CAP_NET_ADMIN",
    )  # fmt: skip
    script = "pwd; echo $A$B; id -u; id -g; id -G; grep -E 'CapBnd|NoNewPrivs' /proc/self/status"

    out = bundles.run("exec", *flags, name, "sh", "-c", script).stdout.split("\n")

    assert out[:4] == ["/tmp", "12", "1000", "1001"]
    assert set(out[4].split()) == {"1001", "44"}
    assert int(out[5].split()[1], 16) & 1 << 12
    assert out[6].split()[1] == "1"


def test_exec_reads_the_process_from_a_file(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    process = bundles.base / "process.json"
    process.write_text(
        json.dumps(
            {"args": ["env"], "cwd": "/", "env": ["PATH=/bin", "X=y"], "user": {"uid": 3, "gid": 3}}
        )
    )

    out = bundles.run("exec", "--process", str(process), name).stdout

    assert {"PATH=/bin", "X=y"} <= set(out.split())


def test_exec_can_run_in_a_group_below_the_containers(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    for group in bundles.groups(name):
        (group / "inner").mkdir()
        if (group / "cpuset.cpus").exists() and bundles.layout.v1:
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / "inner" / file).write_text((group / file).read_text())

    groups = bundles.run("exec", "--cgroup", "inner", name, "cat", "/proc/self/cgroup").stdout
    missing = bundles.run("exec", "--cgroup", "none", name, "true", ok=False)

    assert "/inner\n" in groups
    assert missing.returncode == 255
    assert "none" in missing.stderr


def test_a_detached_exec_leaves_its_pid(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    file = bundles.base / "pid"

    bundles.run("exec", "--detach", "--pid-file", str(file), name, "sleep", "999")

    line = Path(f"/proc/{file.read_text()}/cmdline")
    wait_for("its words are there", lambda: line.read_bytes() == b"sleep\x00999\x00")
    assert len(json.loads(ps_json(bundles, name))) == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [(("nosuch",), "no such file or directory"), (("/etc",), "permission denied")],
)
def test_what_exec_cannot_run_is_255_with_the_reason(
    bundles: Bundles, args: tuple[str, ...], said: str
) -> None:
    name = bundles.launch("sleep", "1000")

    done = bundles.run("exec", name, *args, ok=False)

    assert done.returncode == 255
    assert said in done.stderr
    assert args[0] in done.stderr


def test_what_run_cannot_run_is_said_and_leaves_nothing(bundles: Bundles) -> None:
    name = bundles.bundle("/nosuch")

    done = bundles.foreground(name)

    assert done.returncode == 1
    assert "/nosuch" in done.stderr
    assert "no such file or directory" in done.stderr
    assert not bundles.leaks()


def test_paused_containers_stand_still_until_resumed(bundles: Bundles) -> None:
    name = bundles.bundle("sh", "-c", "while :; do echo x; sleep 0.01; done")
    output = bundles.base / "output"
    with output.open("w") as file:
        bundles.run("run", "-d", "-b", str(bundles.path(name)), name, stdout=file)
    wait_for("it writes", lambda: output.stat().st_size)

    bundles.run("pause", name)
    assert bundles.status(name) == "paused"
    before = output.stat().st_size
    time.sleep(0.1)  # for nothing to happen in
    assert output.stat().st_size == before
    assert bundles.run("exec", name, "true", ok=False).returncode == 255
    assert "not running" in bundles.run("pause", name, ok=False).stderr
    bundles.run("resume", name)
    assert bundles.status(name) == "running"
    wait_for("it goes on", lambda: output.stat().st_size > before)
    assert "not paused" in bundles.run("resume", name, ok=False).stderr


def test_a_paused_container_can_be_killed(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    bundles.run("pause", name)

    bundles.run("kill", name, "KILL")

    bundles.wait_for_status(name, "stopped")


def test_ps_shows_the_containers_processes_alone(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1234")

    table = bundles.run("ps", name).stdout.splitlines()
    pids = json.loads(ps_json(bundles, name))

    assert pids == [bundles.state(name)["pid"]]
    assert table[0].split()[:2] == ["UID", "PID"]
    assert [line.split()[1] for line in table[1:]] == [str(pids[0])]
    wait_for("1234", lambda: "1234" in bundles.run("ps", name, "-o", "pid,args").stdout)


def test_list_shows_all_containers(bundles: Bundles) -> None:
    first, second = bundles.launch("sleep", "1000"), bundles.bundle("true")
    bundles.create(second)

    table = bundles.run("list").stdout.splitlines()
    found = json.loads(bundles.run("list", "--format", "json").stdout)

    assert bundles.run("list", "--quiet").stdout.split() == [first, second]
    assert [line.split()[2] for line in table] == ["STATUS", "running", "created"]
    assert [each["owner"] for each in found] == ["root", "root"]
    assert found[0] == bundles.state(first)


def test_limits_can_be_changed(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    bundles.run("update", "--memory", "64000000", "--pids-limit", "17", name)
    memory = bundles.limit(name, "memory", "memory.limit_in_bytes", "memory.max")
    assert int(memory) == 64000000 // os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PAGE_SIZE")
    assert bundles.limit(name, "pids", "pids.max", "pids.max") == "17"

    resources = bundles.base / "resources.json"
    resources.write_text(json.dumps({"pids": {"limit": 18}}))
    bundles.run("update", "-r", str(resources), name)
    assert bundles.limit(name, "pids", "pids.max", "pids.max") == "18"
    with resources.open() as given:
        resources.write_text(json.dumps({"pids": {"limit": 19}}))
        bundles.run("update", "--resources", "-", name, stdin=given)
    assert bundles.limit(name, "pids", "pids.max", "pids.max") == "19"


def test_a_limit_that_cannot_be_is_refused_by_name(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    done = bundles.run("update", "--cpuset-cpus", "4000", name, ok=False)

    assert done.returncode == 1
    assert "cpuset" in done.stderr


def test_events_say_once_what_is_used(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")

    said = json.loads(bundles.run("events", "--stats", name).stdout)

    assert said["type"] == "stats"
    assert said["id"] == name
    assert said["data"]["pids"]["current"] == 1
    assert said["data"]["memory"]["usage"]["usage"] > 0


def test_events_go_on_until_the_container_ends(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    words = ("events", "--interval", "20ms", name)
    with bundles.start(*words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        bundles.run("kill", name, "KILL")
        process.communicate(timeout=60)  # it goes on writing until it sees the end

        assert process.returncode == 0
        assert [each["type"] for each in lines] == ["stats"] * 3


def test_events_tell_a_kill_for_memory(bundles: Bundles) -> None:
    def limit(config: Config) -> None:
        config["linux"]["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}

    hog = "read go; dd if=/dev/zero of=/dev/null bs=200M count=1"
    name = bundles.launch("sleep", "1000", change=limit)
    with bundles.start("events", "--interval", "1h", name, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        wait_for("it listens", lambda: is_listening(process.pid))
        bundles.run("exec", name, "sh", "-c", hog.partition("; ")[2], ok=False)

        assert json.loads(process.stdout.readline()) == {"type": "oom", "id": name}
        bundles.run("kill", name, "KILL")
        assert process.wait(10 * PATIENCE) == 0


def is_listening(pid: int) -> bool:
    """Whether it has asked the kernel for news, and waits for them."""
    news = [name for name in descriptors(pid) if "[eventfd]" in name or "inotify" in name]
    return bool(news) and system_call(pid) in SELECT


def descriptors(pid: int) -> list[str]:
    found: list[str] = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(each.readlink()))
    return found


def test_more_descriptors_reach_the_program(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "three").write_text("of three\n")
    (tmp_path / "four").write_text("of four\n")
    name = bundles.bundle("sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | wc -l")
    script = f'exec 3<{tmp_path}/three 4<{tmp_path}/four 5</dev/null; exec "$@"'
    words = bundles.words("run", "--preserve-fds", "2", "-b", str(bundles.path(name)), name)

    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.splitlines() == ["of three", "of four", "6"]  # one of them is ls's own


def test_sockets_of_systemd_come_first(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "three").write_text("socket\n")
    name = bundles.bundle("sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID")
    words = bundles.words("run", "-b", str(bundles.path(name)), name)
    script = f'exec 3<{tmp_path}/three; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'

    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.splitlines() == ["socket", "1 1"]


def test_spec_writes_a_bundle_that_runs(bundles: Bundles) -> None:
    bundle = bundles.base / "bundles" / "fresh"
    bundle.mkdir(parents=True)
    (bundle / "rootfs").symlink_to(bundles.rootfs)
    bundles.run("spec", "--bundle", str(bundle))
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/hostname"]}
    config["linux"]["cgroupsPath"] = f"/{bundles.parent}/fresh"
    bundles.write("fresh", config)

    assert bundles.foreground("fresh").stdout == "swarm-runtime\n"
    assert "already exists" in bundles.run("spec", "-b", str(bundle), ok=False).stderr


def test_failures_are_in_the_log_as_its_readers_parse_it(bundles: Bundles) -> None:
    log = bundles.base / "log.json"
    flags = ("--log", str(log), "--log-format", "json")

    done = bundles.run(*flags, "start", "nobody", ok=False)

    (line,) = log.read_text().splitlines()
    assert json.loads(line)["level"] == "error"
    assert "container does not exist" in json.loads(line)["msg"]
    assert "container does not exist" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--systemd-cgroup", "list"), "cgroupfs"),
        (("checkpoint", "x"), "not supported"),
        (("restore", "x", "--image-path", "y"), "not supported"),
    ],
)
def test_what_there_is_not_is_refused_clearly(
    bundles: Bundles, words: tuple[str, ...], said: str
) -> None:
    done = bundles.run(*words, ok=False)

    assert done.returncode == 1
    assert said in done.stderr
