from runtime.cgroups import memory
from runtime.oci.config import Memory, Resources
from tests.runtime.cgroups.asking import MIB, asked


def test_nothing_asked_writes_nothing() -> None:
    for resources in (Resources(), Resources(memory=Memory(limit=0, kernel=5, use_hierarchy=True))):
        assert asked(memory.v1, resources) == asked(memory.v2, resources) == {}


def test_swap_is_counted_with_memory_in_v1_and_alone_in_v2() -> None:
    resources = Resources(memory=Memory(limit=64 * MIB, swap=96 * MIB))

    assert asked(memory.v1, resources) == {
        "memory.limit_in_bytes": str(64 * MIB),
        "memory.memsw.limit_in_bytes": str(96 * MIB),
    }
    assert asked(memory.v2, resources) == {
        "memory.swap.max": str(32 * MIB),
        "memory.max": str(64 * MIB),
    }


def test_no_limit_of_swap_leaves_it_unlimited() -> None:
    resources = Resources(memory=Memory(limit=64 * MIB))

    assert list(asked(memory.v1, resources)) == ["memory.limit_in_bytes"]
    assert list(asked(memory.v2, resources)) == ["memory.max"]


def test_unlimited_memory_is_unlimited_with_swap() -> None:
    alone = Resources(memory=Memory(limit=-1))
    both = Resources(memory=Memory(limit=MIB, swap=-1))

    assert asked(memory.v1, alone)["memory.memsw.limit_in_bytes"] == "-1"
    assert asked(memory.v2, alone) == {"memory.max": "max"}
    assert asked(memory.v1, both)["memory.memsw.limit_in_bytes"] == "-1"
    assert asked(memory.v2, both)["memory.swap.max"] == "max"


def test_a_kernel_that_counts_no_swap_may_be_asked_for_none() -> None:
    none = list(memory.v1(Resources(memory=Memory(limit=MIB, swap=MIB))))
    some = list(memory.v1(Resources(memory=Memory(limit=MIB, swap=2 * MIB))))

    assert [getattr(each, "optional", None) for each in none] == [False, True]
    assert [getattr(each, "optional", None) for each in some] == [False, False]


def test_swap_without_a_limit_of_memory_means_nothing_in_v2() -> None:
    for limit in (None, -1):
        found = asked(memory.v2, Resources(memory=Memory(limit=limit, swap=MIB)))

        assert "counts memory too" in str(found["memory.swap"])


def test_a_reservation_is_protected() -> None:
    resources = Resources(memory=Memory(reservation=MIB))

    assert asked(memory.v1, resources) == {"memory.soft_limit_in_bytes": str(MIB)}
    assert asked(memory.v2, resources) == {"memory.low": str(MIB)}


def test_what_only_v1_has_is_refused_in_v2_by_name() -> None:
    resources = Resources(
        memory=Memory(swappiness=60, disable_oom_killer=True, kernel_tcp=MIB, use_hierarchy=False)
    )

    assert asked(memory.v1, resources) == {
        "memory.use_hierarchy": "0",
        "memory.kmem.tcp.limit_in_bytes": str(MIB),
        "memory.swappiness": "60",
        "memory.oom_control": "1",
    }
    assert sorted(asked(memory.v2, resources)) == [
        "memory.disableOOMKiller", "memory.kernelTCP", "memory.swappiness", "memory.useHierarchy",
    ]  # fmt: skip


def test_kills_for_memory_are_read_in_both_formats() -> None:
    assert memory.oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n") == 2
    assert memory.oom_kills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n") == 1
    assert memory.oom_kills("") == 0
