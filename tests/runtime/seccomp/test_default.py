"""The filter that a container has when nobody asked for another."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.defaults import CAPABILITIES
from runtime.oci import names
from runtime.oci.config import Seccomp, Syscall
from runtime.oci.reading import read_config
from runtime.seccomp.default import ARCHITECTURES, aligned_blocks, default_profile
from runtime.seccomp.purposes import OF_CAPABILITIES, ORDINARY
from tests.runtime.oci.bundles import linux


def profile(*capabilities: str, machine: str = "x86_64") -> Seccomp:
    return default_profile(capabilities, machine=machine, kernel=(6, 1))


def rules_of(seccomp: Seccomp, name: str) -> list[Syscall]:
    return [rule for rule in seccomp.syscalls if name in rule.names]


def allows(seccomp: Seccomp, name: str) -> bool:
    """Whether the call is allowed whatever its arguments are."""
    return any(r.action == "SCMP_ACT_ALLOW" and not r.args for r in rules_of(seccomp, name))


@pytest.mark.parametrize(
    "name",
    [
        "mount", "umount2", "pivot_root", "setns", "unshare", "move_mount", "open_tree",
        "open_by_handle_at", "bpf", "perf_event_open", "keyctl", "add_key", "request_key",
        "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
        "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "ioperm", "iopl",
        "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "quotactl",
        "nfsservctl", "syslog", "sethostname", "kcmp", "process_madvise", "mbind", "socket",
        "personality", "clone", "clone3", "vhangup", "uselib", "ustat", "sysfs", "_sysctl",
        "create_module", "get_kernel_syms", "query_module", "lookup_dcookie", "fanotify_init",
    ],
)  # fmt: skip
def test_what_reaches_beyond_the_container_is_not_allowed_by_default(name: str) -> None:
    assert not allows(profile(*CAPABILITIES), name)


@pytest.mark.parametrize("capability", sorted(OF_CAPABILITIES))
def test_the_filter_steps_aside_where_a_capability_is_asked_for_anyway(capability: str) -> None:
    gained = set(OF_CAPABILITIES[capability]) - set(ORDINARY)

    assert all(allows(profile(capability), name) for name in gained)


def test_a_container_without_any_capability_can_still_run_programs() -> None:
    bare = profile()

    assert all(allows(bare, name) for name in ("execve", "mmap", "openat", "futex", "write"))


def test_processes_can_be_made_but_not_in_new_namespaces() -> None:
    (clone,) = rules_of(profile(*CAPABILITIES), "clone")
    (flags,) = clone.args

    assert (flags.index, flags.op, flags.value_two) == (0, "SCMP_CMP_MASKED_EQ", 0)
    for kind, (flag, _) in names.NAMESPACES.items():
        assert bool(flags.value & flag) == (kind != "time")


def test_the_flags_of_clone_are_the_second_argument_on_s390() -> None:
    (clone,) = rules_of(profile(machine="s390x"), "clone")

    assert clone.args[0].index == 1


def test_clone3_seems_not_to_exist_so_that_libraries_fall_back_on_clone() -> None:
    (clone3,) = rules_of(profile(*CAPABILITIES), "clone3")

    assert (clone3.action, clone3.errno_ret) == ("SCMP_ACT_ERRNO", 38)


def test_an_administrator_makes_namespaces_as_it_likes() -> None:
    assert allows(profile("CAP_SYS_ADMIN"), "clone")
    assert allows(profile("CAP_SYS_ADMIN"), "clone3")


def test_tracing_waits_for_a_kernel_where_it_cannot_slip_past_the_filter() -> None:
    old = default_profile((), machine="x86_64", kernel=(4, 7))

    assert not allows(old, "ptrace")
    assert allows(profile(), "ptrace")


def test_socket_families_are_told_by_the_half_of_the_argument_that_the_kernel_reads() -> None:
    rules = rules_of(profile(*CAPABILITIES), "socket")

    def permitted(family: int) -> bool:
        return any(family & r.args[0].value == r.args[0].value_two for r in rules)

    refused = {family for family in range(64) if not permitted(family)}
    assert refused == {38, 40}
    assert permitted(64)
    assert permitted(0xFFFFFFFF)
    assert not permitted(40 | 1 << 32)
    assert permitted(2 | 1 << 32)


@given(st.integers(0, 300), st.integers(0, 300))
def test_law_blocks_cover_a_range_once_and_are_aligned(first: int, last: int) -> None:
    blocks = list(aligned_blocks(first, last))

    covered = [n for start, size in blocks for n in range(start, start + size)]
    assert covered == list(range(first, last + 1))
    assert all(start % size == 0 and size & (size - 1) == 0 for start, size in blocks)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "s390x", "riscv64", "unheard-of"])
def test_the_profile_is_a_filter_that_a_config_may_contain(machine: str) -> None:
    made = profile(*names.CAPABILITIES, machine=machine)

    document = linux(seccomp=json.loads(msgspec.json.encode(made)))
    assert read_config(json.dumps(document)).linux.seccomp == made  # type: ignore[union-attr]


def test_every_machine_filters_its_own_architecture_first() -> None:
    assert ARCHITECTURES["x86_64"][0] == "SCMP_ARCH_X86_64"
    assert all(name in names.SECCOMP_ARCHITECTURES for m in ARCHITECTURES.values() for name in m)
