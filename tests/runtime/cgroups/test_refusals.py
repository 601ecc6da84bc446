import errno

import pytest

from runtime.cgroups.refusals import Words, explain
from runtime.io import host
from runtime.steps import (
    CheckUsage,
    JoinCgroup,
    MakeCgroup,
    RefuseLimit,
    WriteKernelFile,
)

HAND_DOWN = WriteKernelFile("/cg/a/cgroup.subtree_control", ("+cpu",))


def test_a_limit_that_cannot_be_is_named_with_its_reason() -> None:
    step = RefuseLimit("memory.swappiness", "cgroup v2 has no swappiness of a group")

    refused = host.refusal(step, OSError(errno.EOPNOTSUPP, ""))

    assert refused.message == "memory.swappiness: cgroup v2 has no swappiness of a group"
    assert refused.hint == "leave it out for this host"
    assert refused.step == "refuse limit"


def test_a_file_that_is_missing_is_named_without_its_path() -> None:
    other = WriteKernelFile("/g/io.weight", ("300",))
    step = WriteKernelFile("/g/io.bfq.weight", ("30",), otherwise=other)

    assert explain(step, errno.ENOENT).message == "io.weight: not on this host"


@pytest.mark.parametrize(
    ("step", "number", "said"),
    [
        (HAND_DOWN, errno.EBUSY, "processes of its own"),
        (HAND_DOWN, errno.EOPNOTSUPP, "is threaded"),
        (JoinCgroup("/cg/a"), errno.EOPNOTSUPP, "is threaded"),
        (WriteKernelFile("/cg/a/memory.limit_in_bytes", ("5",)), errno.EBUSY, "in use"),
        (WriteKernelFile("/cg/a/io.max", ("8:0 rbps=1",)), errno.ENODEV, "no such device: 8:0"),
        (CheckUsage("/cg/a/memory.current", 5), errno.EBUSY, "more than 5 bytes are in use"),
        (MakeCgroup("/cg/a"), errno.EBUSY, "/cg/a is in use"),
        (MakeCgroup("/cg/a"), errno.EROFS, "may not be made"),
    ],
)  # fmt: skip
def test_the_kernels_number_is_put_into_words(step: object, number: int, said: str) -> None:
    assert said in explain(step, number).message  # type: ignore[arg-type]


def test_what_needs_no_explanation_gets_none() -> None:
    assert explain(WriteKernelFile("/cg/a/pids.max", ("x",)), errno.EINVAL) == Words()


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("memory.limit_in_bytes", "give memory.swap with it"),
        ("cpu.cfs_quota_us", "at least 1000"),
        ("cpuset.cpus", "must be there"),
        ("cpu.rt_runtime_us", "parent group"),
    ],
)
def test_values_that_the_kernel_refuses_come_with_a_rule(file: str, hint: str) -> None:
    refused = host.refusal(WriteKernelFile(f"/cg/a/{file}", ("7",)), OSError(errno.EINVAL, ""))

    assert refused.message == f"write kernel file 7 > /cg/a/{file}: invalid argument"
    assert hint in refused.hint
