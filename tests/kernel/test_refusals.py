"""Whatever step fails, the reason reaches the caller of run() and nothing is left."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from runtime.spec import Mount, Overlay, Rlimit
from swarm.errors import Invalid, KernelRefused, Unavailable
from tests.kernel.machine import Machine, eventually, failure_of

pytestmark = pytest.mark.kernel


def refusal(machine: Machine, *args: str, **fields: Any) -> KernelRefused:
    """Run what must fail, and see to it that nothing is left at once."""

    async def story() -> KernelRefused:
        async with machine.runtime() as runtime:
            err = await failure_of(runtime.run(machine.spec(*args, **fields)), KernelRefused)
            left = [x for x in machine.leaks() if "launcher" not in x and "shim" not in x]
            assert left == []
            await eventually("the shim ended", lambda: "swarmd-shim" not in str(machine.leaks()))
            return err

    return asyncio.run(story())


def test_a_missing_program_is_named(machine: Machine) -> None:
    err = refusal(machine, "/bin/foo")

    assert (err.step, err.errno) == ("exec", errno.ENOENT)
    assert err.message == "exec /bin/foo: no such file or directory"


def test_a_missing_program_is_looked_for_in_path(machine: Machine) -> None:
    err = refusal(machine, "foo", env=("PATH=/bin:/usr/bin",))

    assert (
        err.message
        == "exec foo: no such file or directory in any directory of PATH (/bin:/usr/bin)"
    )


def test_a_program_that_is_not_executable_is_named(machine: Machine) -> None:
    (machine.image / "notes").write_text("just text")

    err = refusal(machine, "/notes")

    assert (err.step, err.errno) == ("exec", errno.EACCES)
    assert "not executable" in err.hint


def test_a_missing_interpreter_is_not_mistaken_for_a_missing_program(machine: Machine) -> None:
    script = machine.image / "script"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)

    err = refusal(machine, "/script")

    assert "interpreter" in err.hint


def test_init_reports_a_missing_program_too(machine: Machine) -> None:
    assert refusal(machine, "/bin/foo", init=True).step == "exec"


def test_a_missing_bind_source_is_named(machine: Machine) -> None:
    err = refusal(machine, "true", mounts=(Mount(source="/no/such", target="/x"),))

    assert err.message == "bind source path does not exist: /no/such"
    assert err.errno == errno.ENOENT


def test_a_missing_volume_to_fill_is_named(machine: Machine) -> None:
    mount = Mount(source=str(machine.base / "no/such"), target="/data", copy_up=True)

    err = refusal(machine, "true", mounts=(mount,))

    assert "no/such" in err.message
    assert not (machine.base / "no").exists()


def test_a_missing_layer_is_named(machine: Machine) -> None:
    base = machine.base / "containers" / "x"
    rootfs = Overlay(
        lower_dirs=(str(machine.image), "/no/such/layer"),
        upper_dir=str(base / "upper"), work_dir=str(base / "work"),
    )  # fmt: skip

    err = refusal(machine, "true", rootfs=rootfs)

    assert err.step == "mount overlay"
    assert "/no/such/layer" in err.message


def test_an_unknown_user_is_named(machine: Machine) -> None:
    assert "no user 'nobody'" in refusal(machine, "true", user="nobody").message


def test_a_limit_above_what_the_host_grants_is_named(machine: Machine) -> None:
    if Path("/proc/self/status").read_text().find("CapEff:\t000001fffeffffff") < 0:
        pytest.skip("this process may raise any limit")

    err = refusal(machine, "true", rlimits=(Rlimit(name="nofile", soft=1 << 30, hard=1 << 30),))

    assert err.step == "set rlimit"
    assert "nofile" in err.message


def test_an_image_whose_proc_is_a_link_is_refused(machine: Machine) -> None:
    """Else the image's own files would be taken for the kernel's."""
    (machine.image / "proc").symlink_to("/tmp")

    err = refusal(machine, "true")

    assert (err.step, err.errno) == ("mount filesystem", errno.ELOOP)


def test_an_unknown_sysctl_is_named(machine: Machine) -> None:
    err = refusal(machine, "true", sysctls={"net.ipv4.no_such": "1"})

    assert err.step == "write sysctl"
    assert "net.ipv4.no_such" in err.message


def test_a_network_namespace_that_is_not_there_is_named(machine: Machine) -> None:
    assert "/no/ns" in refusal(machine, "true", network_namespace="/no/ns").message


def test_bad_values_are_refused_before_anything_is_touched(machine: Machine) -> None:
    with pytest.raises(Invalid, match="workdir: must be absolute"):
        machine.run("true", workdir="relative")

    assert not (machine.base / "containers").exists()


def test_an_id_works_again_after_a_refusal(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            await failure_of(runtime.run(machine.spec("/no", name="same")), KernelRefused)
            exited = await machine.finish(runtime, machine.spec("true", name="same"))
            assert exited.exit_code == 0
            await runtime.delete("same")

    asyncio.run(story())


def test_without_a_launcher_run_waits_and_then_gives_up(machine: Machine) -> None:
    for launcher in machine.launchers:
        launcher.kill()
        launcher.wait()

    async def story() -> Unavailable:
        async with machine.runtime(launcher_timeout_s=0.2) as runtime:
            return await failure_of(runtime.run(machine.spec("true")), Unavailable)

    err = asyncio.run(story())

    assert "no launcher answers" in err.message
