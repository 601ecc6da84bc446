"""Each action of a filter, on a real process: what the kernel does is what the config says."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from runtime.io import seccomp as io
from runtime.io.listener import send_listener
from runtime.oci.config import Seccomp, Syscall, SyscallArg
from runtime.seccomp.flags import filter_flags
from runtime.seccomp.listening import process_state
from swarm.errors import Unavailable
from tests.kernel.machine import PATIENCE

pytestmark = pytest.mark.kernel

FILTERED = Path(__file__).parent / "filtered.py"
ROOT = FILTERED.parent.parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def seccomp(action: str, *calls: str, default: str = "SCMP_ACT_ALLOW", **fields: object) -> Seccomp:
    rule = Syscall(names=calls, action=action, **fields)  # type: ignore[arg-type]
    return Seccomp(default_action=default, syscalls=(rule,))


def run(wanted: Seccomp, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script in a process of its own, under the filter."""
    return subprocess.run(
        [sys.executable, str(FILTERED), msgspec.json.encode(wanted).decode(), script, *words],
        capture_output=True,
        text=True,
        timeout=30 * PATIENCE,
        check=False,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


PRIORITY = "import os\ntry: print(os.getpriority(0, 0))\nexcept OSError as e: print(e.errno)"


def test_an_error_is_the_one_that_the_rule_names() -> None:
    assert run(seccomp("SCMP_ACT_ERRNO", "getpriority"), PRIORITY).stdout == "1\n"
    assert run(seccomp("SCMP_ACT_ERRNO", "getpriority", errno_ret=13), PRIORITY).stdout == "13\n"
    assert run(seccomp("SCMP_ACT_ERRNO", "setpriority"), PRIORITY).stdout == "0\n"


def test_arguments_tell_one_call_from_another() -> None:
    group = SyscallArg(index=0, value=os.PRIO_PGRP, op="SCMP_CMP_EQ")
    wanted = seccomp("SCMP_ACT_ERRNO", "getpriority", args=(group,))

    assert run(wanted, PRIORITY).stdout == "0\n"
    assert run(wanted, PRIORITY.replace("(0, 0)", "(os.PRIO_PGRP, 0)")).stdout == "1\n"


def test_killing_the_process_ends_all_its_threads() -> None:
    script = (
        "import os, threading, time\n"
        "t = threading.Thread(target=lambda: os.getpriority(0, 0)); t.start(); t.join()\n"
        "print('alive')"
    )

    killed = run(seccomp("SCMP_ACT_KILL_PROCESS", "getpriority"), script)

    assert (killed.returncode, killed.stdout) == (-signal.SIGSYS, "")


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"])
def test_killing_a_thread_ends_no_other(action: str) -> None:
    script = (
        "import ctypes, os, threading, time, pathlib\n"
        "call = ctypes.CDLL(None).getpriority  # which lets other threads of Python run\n"
        "t = threading.Thread(target=lambda: call(0, 0), daemon=True); t.start()\n"
        "deadline = time.monotonic() + 10\n"
        "while pathlib.Path(f'/proc/self/task/{t.native_id}').exists():\n"
        "    assert time.monotonic() < deadline; time.sleep(0.005)\n"
        "print('alive', flush=True)\n"
        "os._exit(5)"
    )

    killed = run(seccomp(action, "getpriority"), script)

    assert (killed.returncode, killed.stdout) == (5, "alive\n")


def test_a_trap_is_a_signal_that_can_be_caught() -> None:
    caught = "import signal; signal.signal(signal.SIGSYS, lambda *_: print('caught'))\n"

    assert run(seccomp("SCMP_ACT_TRAP", "sync"), "import os; os.sync()").returncode == -31
    assert run(seccomp("SCMP_ACT_TRAP", "sync"), caught + "import os; os.sync()").stdout == (
        "caught\n"
    )


def test_a_traced_call_fails_as_if_it_did_not_exist_without_a_tracer() -> None:
    assert run(seccomp("SCMP_ACT_TRACE", "getpriority"), PRIORITY).stdout == "38\n"


def test_a_logged_call_is_carried_out() -> None:
    assert run(seccomp("SCMP_ACT_LOG", "getpriority"), PRIORITY).stdout == "0\n"


def test_what_is_not_allowed_gets_the_default() -> None:
    """A filter that lets only a few calls pass, loaded by the program itself at its end."""
    strict = Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=13,
        syscalls=(
            Syscall(
                names=("write", "exit_group", "exit", "rt_sigaction", "munmap", "getpid"),
                action="SCMP_ACT_ALLOW",
            ),
        ),
    )
    script = (
        "import os, ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
        "LOAD()\n"
        "os.write(1, b'%d %d' % (l.getpriority(0, 0), ctypes.get_errno())); os._exit(0)"
    )

    assert run(strict, script, "late").stdout == "-1 13"


@pytest.mark.parametrize(
    "flag",
    ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
)
def test_filters_can_be_loaded_with_every_flag(flag: str) -> None:
    assert flag in io.supported_flags()
    wanted = msgspec.structs.replace(seccomp("SCMP_ACT_ERRNO", "getpriority"), flags=(flag,))

    assert run(wanted, PRIORITY).stdout == "1\n"


def test_threads_are_synchronised_on_request_only() -> None:
    """TSYNC: the filter comes to hold for threads that are there already."""
    script = (
        "import os, threading\n"
        "go, said = threading.Event(), []\n"
        "def other():\n"
        "    go.wait()\n"
        "    try: os.getpriority(0, 0); print('free')\n"
        "    except OSError: print('filtered')\n"
        "t = threading.Thread(target=other); t.start(); LOAD(); go.set(); t.join()"
    )
    plain = seccomp("SCMP_ACT_ERRNO", "getpriority")
    synchronised = msgspec.structs.replace(plain, flags=("SECCOMP_FILTER_FLAG_TSYNC",))

    assert run(plain, script, "late").stdout == "free\n"
    assert run(synchronised, script, "late").stdout == "filtered\n"


def test_somebody_else_answers_for_the_calls_that_it_is_asked_about(tmp_path: Path) -> None:
    """The whole way of SCMP_ACT_NOTIFY, with this test as the agent.

    1. A process loads the filter and hands its listener to the agent's socket.
    2. The agent gets one message with the state and the descriptor, and end of file.
    3. The process makes the call; the agent answers with an error of its own choice.
    """
    path = str(tmp_path / "agent.sock")
    wanted = msgspec.structs.replace(
        seccomp("SCMP_ACT_NOTIFY", "getpriority"), listener_path=path, listener_metadata="m"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(path)
        agent.listen()
        agent.settimeout(20 * PATIENCE)
        process = subprocess.Popen(
            [sys.executable, str(FILTERED), msgspec.json.encode(wanted).decode(), PRIORITY],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip
        try:
            connection, _ = agent.accept()
            with connection:
                connection.settimeout(20 * PATIENCE)
                message, (listener, *more), _, _ = socket.recv_fds(connection, 1 << 16, 4)
                assert connection.recv(1) == b""
            try:
                answer_once(listener, errno=77)
            finally:
                os.close(listener)
            output, _ = process.communicate(timeout=20 * PATIENCE)
        finally:
            process.kill()
            process.wait()

    told = json.loads(message)
    assert (told["fds"], told["metadata"], more) == (["seccompFd"], "m", [])
    assert told["pid"] == told["state"]["pid"] == process.pid
    assert output == "77\n"


def answer_once(listener: int, *, errno: int) -> None:
    """Receive one notification of linux/seccomp.h and refuse the call with an error."""
    import fcntl
    import struct

    received, send = 0xC0502100, 0xC0182101
    notification = fcntl.ioctl(listener, received, bytes(80))
    (identity,) = struct.unpack_from("=Q", notification)
    fcntl.ioctl(listener, send, struct.pack("=QqiI", identity, 0, -errno, 0))


def test_an_agent_that_is_not_there_is_named(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(Unavailable, match=r"seccomp listener .*/nobody\.sock: no such file"):
            send_listener(
                str(tmp_path / "nobody.sock"), reading, process_state("{}", pid=1, metadata="")
            )
    finally:
        os.close(reading)
        os.close(writing)


def test_flags_of_a_listener_are_complete() -> None:
    assert filter_flags(seccomp("SCMP_ACT_NOTIFY", "getpriority")) == 0x08
