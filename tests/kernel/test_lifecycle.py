"""Start, signal, end, delete, one container and a hundred."""

import asyncio
import signal
from pathlib import Path

import pytest

from runtime.spec import Mount
from swarm.errors import Invalid, Missing
from tests.kernel.machine import Machine, command_lines, eventually, exit_of, failure_of
from tests.liveness import children

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_the_programs(machine: Machine, code: int) -> None:
    exited, _ = machine.run("sh", "-c", f"exit {code}")

    assert (exited.exit_code, exited.signal, exited.oom_killed) == (code, 0, False)
    assert exited.finished_at > 1e9


def test_a_signal_reaches_the_program_which_decides(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec(
                "sh", "-c", 'trap "echo bye; exit 5" TERM; echo up; sleep 99 & wait'
            )
            await runtime.run(spec)
            await eventually("it is up", lambda: machine.output(spec.id) == "up\n")
            await runtime.kill(spec.id, signal.SIGTERM)
            exited = await exit_of(runtime)

            assert exited.exit_code == 5
            assert machine.output(spec.id) == "up\nbye\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_killed_container_ends_with_137(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            await runtime.kill(spec.id, signal.SIGKILL)
            exited = await exit_of(runtime)

            assert (exited.exit_code, exited.signal) == (137, 9)
            assert isinstance(await failure_of(runtime.kill(spec.id, 9), Missing), Missing)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_signal_that_does_not_exist_is_invalid(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            await failure_of(runtime.kill(spec.id, 500), Invalid)
            await failure_of(runtime.kill("other", 9), Missing)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_nothing_outlives_process_one(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "sleep 987 & sleep 987 & sleep 0.1; exit 0")
            await machine.finish(runtime, spec)
            await runtime.delete(spec.id)

    asyncio.run(story())

    assert not [line for _, line in command_lines() if line == b"sleep\x00987\x00"]


def test_deleting_ends_what_runs_and_repeats(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", 'trap "" TERM; echo x; sleep 99')
            await runtime.run(spec)
            await eventually("a log", lambda: machine.log(spec.id).exists())

            await asyncio.gather(runtime.delete(spec.id), runtime.delete("never-was"))
            await runtime.delete(spec.id)

            assert not machine.log(spec.id).exists()
            assert not Path(spec.rootfs.upper_dir).exists()

    asyncio.run(story())


def test_a_log_can_be_kept(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("echo", "kept")
            await machine.finish(runtime, spec)
            await runtime.delete(spec.id, keep_log=True)

            assert machine.output(spec.id) == "kept\n"

    asyncio.run(story())


def test_running_an_id_again_returns_the_container_that_runs(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sleep", "99")
        async with machine.runtime() as first:
            started = await first.run(spec)
            again = await first.run(spec)
        async with machine.runtime() as second:
            adopted = await second.run(spec)
            await second.delete(spec.id)

        assert started == again == adopted

    asyncio.run(story())


def test_running_an_id_again_tells_the_exit_that_nobody_heard(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sh", "-c", "exit 4")
        async with machine.runtime() as first:
            started = await first.run(spec)
            await exit_of(first)
        async with machine.runtime() as second:
            assert await second.run(spec) == started
            assert (await exit_of(second)).exit_code == 4
            await second.delete(spec.id)

    asyncio.run(story())


def test_init_reaps_orphans_and_passes_signals_and_codes_on(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = '(sleep 0.05 &); trap "exit 6" TERM; echo $$; sleep 99 & wait'
            spec = machine.spec("sh", "-c", script, init=True)
            started = await runtime.run(spec)
            await eventually("it is up", lambda: machine.output(spec.id))
            await eventually("the orphan is reaped", lambda: len(children(started.pid)) == 1)
            assert machine.output(spec.id) != "1\n"
            await runtime.kill(spec.id, signal.SIGTERM)

            assert (await exit_of(runtime)).exit_code == 6
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_init_shows_nothing_of_the_host(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "cat /proc/1/cmdline; ls -l /proc/1/exe /proc/1/fd 2>&1", init=True
    )

    assert output.startswith("swarmd-init")
    assert "python" not in output


def test_a_bind_shows_the_hosts_directory(machine: Machine) -> None:
    shared = machine.base / "shared, with: odd name"
    shared.mkdir()
    (shared / "in").write_text("from the host\n")
    mounts = (
        Mount(source=str(shared), target="/a/deep/place"),
        Mount(source=str(shared), target="/ro", read_only=True),
    )

    _, output = machine.run(
        "sh", "-c", "cat /a/deep/place/in; echo back > /a/deep/place/out; touch /ro/x 2>&1",
        mounts=mounts,
    )  # fmt: skip

    assert output.startswith("from the host\n")
    assert "Read-only file system" in output
    assert (shared / "out").read_text() == "back\n"


def test_a_link_in_the_image_cannot_lead_a_mount_out_of_it(machine: Machine) -> None:
    outside = machine.base / "outside"
    outside.mkdir()
    (machine.image / "trap").symlink_to(outside)
    source = machine.base / "source"
    source.mkdir()

    _, output = machine.run(
        "sh", "-c", "echo x > /trap/file; ls /trap",
        mounts=(Mount(source=str(source), target="/trap"),),
    )  # fmt: skip

    assert output == "file\n"
    assert not list(outside.iterdir())
    assert (source / "file").exists()


def test_a_new_volume_gets_what_the_image_holds_there_once(machine: Machine) -> None:
    volume = machine.base / "volumes" / "v"
    volume.mkdir(parents=True)
    mounts = (Mount(source=str(volume), target="/data", copy_up=True),)

    machine.run("sh", "-c", "cat /data/inner/file; echo changed > /data/inner/file", mounts=mounts)
    _, output = machine.run("cat", "/data/inner/file", mounts=mounts)

    assert output == "changed\n"
    status = (volume / "inner/file").stat()
    assert (status.st_uid, status.st_gid) == (1000, 1001)
    assert [each.name for each in volume.parent.iterdir()] == ["v"]


def test_many_layers_with_long_names_still_mount(machine: Machine) -> None:
    layers = [machine.base / "layers" / f"{number:064d}" / "diff" for number in range(100)]
    for number, layer in enumerate(layers):
        layer.mkdir(parents=True)
        (layer / f"f{number}").write_text("")
        (layer / "which").write_text(f"{number}\n")

    spec = machine.spec("x")
    lower = (*map(str, layers), str(machine.image))
    rootfs = type(spec.rootfs)(
        lower_dirs=lower,
        upper_dir=str(machine.base / "containers/deep/upper"),
        work_dir=str(machine.base / "containers/deep/work"),
    )
    _, output = machine.run("sh", "-c", "cat /which; ls /f* | wc -l", rootfs=rootfs)

    assert output.split() == ["0", "100"]


def test_a_hundred_containers_start_at_once_and_end_at_once(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            specs = [machine.spec("sleep", "999") for _ in range(100)]
            started = await asyncio.gather(*(runtime.run(spec) for spec in specs))

            assert len({each.pid for each in started}) == 100
            assert {each.container_id for each in started} == {spec.id for spec in specs}
            await asyncio.gather(*(runtime.delete(spec.id) for spec in specs))

    asyncio.run(story())
