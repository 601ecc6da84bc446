import pytest

from runtime.command import limits
from runtime.command.parsing import Options, parse
from runtime.oci.config import BlockIo, Cpu, Memory, Pids, Resources
from swarm.errors import Invalid, Refused


def options(words: str) -> Options:
    return parse(["update", *words.split(), "c1"]).options


def test_only_what_is_named_is_changed() -> None:
    assert limits.from_flags(options("--memory 1000")) == Resources(memory=Memory(limit=1000))
    assert limits.from_flags(options("--cpu-idle 0")) == Resources(cpu=Cpu(idle=0))
    assert limits.from_flags(options("--pids-limit=-1")) == Resources(pids=Pids(limit=-1))


def test_every_flag_has_its_place() -> None:
    asked = limits.from_flags(
        options(
            "--blkio-weight 10 --cpu-period 1 --cpu-quota 2 --cpu-burst 3 --cpu-share 4"
            " --cpu-rt-period 5 --cpu-rt-runtime 6 --cpu-idle 1 --cpuset-cpus 0-1 --cpuset-mems 0"
            " --memory 7 --memory-reservation 8 --memory-swap 9 --pids-limit 10"
            " --kernel-memory 11 --kernel-memory-tcp 12"
        )
    )

    assert asked == Resources(
        block_io=BlockIo(weight=10),
        cpu=Cpu(
            shares=4,
            quota=2,
            burst=3,
            period=1,
            realtime_runtime=6,
            realtime_period=5,
            cpus="0-1",
            mems="0",
            idle=1,
        ),
        memory=Memory(limit=7, reservation=8, swap=9, kernel_tcp=12),
        pids=Pids(limit=10),
    )


def test_nothing_to_change_is_a_mistake() -> None:
    with pytest.raises(Invalid, match="nothing to update"):
        limits.from_flags(options(""))


def test_resctrl_is_refused() -> None:
    with pytest.raises(Refused, match="--l3-cache-schema: not supported"):
        limits.from_flags(options("--l3-cache-schema L3:0=f"))
