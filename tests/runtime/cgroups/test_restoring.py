from runtime.cgroups.restoring import restore
from runtime.steps import WriteKernelFile


def back(step: WriteKernelFile, text: str) -> tuple[str, ...]:
    (found,) = restore((step,), {step.path: text})
    assert found.tentative
    return found.values


def test_a_file_with_one_value_gets_it_again() -> None:
    assert back(WriteKernelFile("/g/pids.max", ("5",)), "max\n") == ("max",)
    assert back(WriteKernelFile("/g/cpu.max", ("1000 10000",)), "max 100000\n") == ("max 100000",)


def test_a_device_gets_its_old_line_or_no_limit() -> None:
    step = WriteKernelFile("/g/io.max", ("8:0 rbps=1", "8:16 wiops=2"))

    assert back(step, "8:0 rbps=9 wbps=max riops=max wiops=max\n254:0 rbps=1\n") == (
        "8:0 rbps=9 wbps=max riops=max wiops=max",
        "8:16 rbps=max wbps=max riops=max wiops=max",
    )
    v1 = WriteKernelFile("/g/blkio.throttle.read_bps_device", ("8:0 1000",))
    assert back(v1, "254:0 7\n") == ("8:0 0",)


def test_what_was_written_last_is_put_back_first() -> None:
    steps = (WriteKernelFile("/g/a", ("1",)), WriteKernelFile("/g/b", ("2",)))

    found = restore(steps, {"/g/a": "x", "/g/b": "y"})

    assert [each.path for each in found] == ["/g/b", "/g/a"]


def test_a_file_that_was_not_there_is_left_alone() -> None:
    other = WriteKernelFile("/g/io.weight", ("300",))
    step = WriteKernelFile("/g/io.bfq.weight", ("30",), otherwise=other)

    (found,) = restore((step,), {"/g/io.weight": "default 100\n"})

    assert (found.path, found.values) == ("/g/io.weight", ("default 100",))
