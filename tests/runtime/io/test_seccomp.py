"""Filters as libseccomp compiles them, and the files that they are kept in."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.defaults import CAPABILITIES
from runtime.io import seccomp as io
from runtime.oci import names
from runtime.oci.config import Seccomp, Syscall, SyscallArg
from runtime.seccomp.default import default_profile
from tests.runtime.seccomp.bpf import answer

pytestmark = pytest.mark.skipif(
    not io.library_version() or os.uname().machine != "x86_64",
    reason="needs libseccomp, and the numbers of x86-64's calls",
)

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0
X86 = 0x40000003
CALLS = {"getpid": 39, "kill": 62, "socket": 41, "prctl": 157, "personality": 135, "openat2": 437}
FULL = 2**64 - 1
VALUES = st.one_of(st.integers(0, 5), st.integers(FULL - 2, FULL), st.integers(0, FULL))
ACTIONS = [name for name in names.SECCOMP_ACTIONS if name != "SCMP_ACT_NOTIFY"]


def seccomp(*rules: Syscall, default: str = "SCMP_ACT_ALLOW", **fields: object) -> Seccomp:
    return Seccomp(default_action=default, syscalls=rules, **fields)  # type: ignore[arg-type]


def refuse(*calls: str, errno: int | None = None) -> Syscall:
    return Syscall(names=calls, action="SCMP_ACT_ERRNO", errno_ret=errno)


def program(wanted: Seccomp) -> bytes:
    return io.compile_filter(wanted, "")


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_what_the_kernel_is_told(action: str) -> None:
    made = program(seccomp(Syscall(names=("getpid",), action=action), default="SCMP_ACT_LOG"))

    expected = names.SECCOMP_ACTIONS[action]
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        expected |= 1
    assert answer(made, CALLS["getpid"]) == expected


def test_error_numbers_are_the_rules_own_or_the_defaults() -> None:
    made = program(
        seccomp(
            refuse("kill", errno=13),
            refuse("prctl"),
            default="SCMP_ACT_ERRNO",
            default_errno_ret=5,
        )
    )

    assert answer(made, CALLS["kill"]) == 0x00050000 | 13
    assert answer(made, CALLS["prctl"]) == EPERM
    assert answer(made, CALLS["getpid"]) == 0x00050000 | 5


def test_a_name_that_nobody_knows_is_skipped() -> None:
    made = program(seccomp(refuse("no_such_call", "kill", "chown32")))

    assert (answer(made, CALLS["kill"]), answer(made, CALLS["getpid"])) == (EPERM, ALLOW)


def test_calls_of_another_architecture_are_killed_unless_it_is_named() -> None:
    own = program(seccomp(refuse("kill")))
    both = program(seccomp(refuse("kill"), architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")))

    assert answer(own, 20, architecture=X86) == KILL
    assert answer(both, 20, architecture=X86) == ALLOW
    assert answer(both, 37, architecture=X86) == EPERM  # kill, as 32-bit programs number it


def test_the_machines_own_architecture_is_filtered_even_when_it_is_not_named() -> None:
    made = program(seccomp(refuse("kill"), architectures=("SCMP_ARCH_X86",)))

    assert answer(made, CALLS["kill"]) == EPERM


def test_two_conditions_on_one_argument_are_two_chances() -> None:
    """libseccomp takes one condition for each argument; engines rely on what runc makes of it."""
    either = tuple(SyscallArg(index=0, value=value, op="SCMP_CMP_EQ") for value in (3, 5))
    made = program(seccomp(Syscall(names=("socket",), action="SCMP_ACT_ERRNO", args=either)))

    assert [answer(made, CALLS["socket"], args=(n,)) for n in (3, 4, 5)] == [EPERM, ALLOW, EPERM]


def test_conditions_on_different_arguments_must_all_hold() -> None:
    both = (
        SyscallArg(index=0, value=3, op="SCMP_CMP_EQ"),
        SyscallArg(index=1, value=7, op="SCMP_CMP_GE"),
    )
    made = program(seccomp(Syscall(names=("socket",), action="SCMP_ACT_ERRNO", args=both)))

    tried = [(3, 7), (3, 6), (2, 7)]
    assert [answer(made, CALLS["socket"], args=each) for each in tried] == [EPERM, ALLOW, ALLOW]


def test_a_call_newer_than_a_strict_filter_does_not_exist_and_a_lenient_one_lets_it_pass() -> None:
    strict = program(seccomp(Syscall(names=("openat2",), action="SCMP_ACT_ALLOW"),
                             default="SCMP_ACT_ERRNO"))  # fmt: skip
    lenient = program(seccomp(refuse("openat2")))

    assert answer(strict, CALLS["openat2"] + 1) == ENOSYS
    assert answer(strict, CALLS["getpid"]) == EPERM
    assert answer(lenient, CALLS["openat2"] + 1) == ALLOW


def test_calls_that_libseccomp_is_too_old_for_are_known_by_their_number() -> None:
    """file_getattr came with Linux 6.17, long after the libraries that are around."""
    allow = Syscall(names=("file_getattr",), action="SCMP_ACT_ALLOW")
    made = program(
        seccomp(allow, default="SCMP_ACT_ERRNO", architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_X32",
                                                               "SCMP_ARCH_X86"))
    )  # fmt: skip

    for number, architecture in ((468, 0xC000003E), (468 | 0x40000000, 0xC000003E), (468, X86)):
        assert answer(made, number, architecture=architecture) == ALLOW
        assert answer(made, number + 1, architecture=architecture) == ENOSYS
        assert answer(made, number - 1, architecture=architecture) == EPERM


HOLDS = {
    "SCMP_CMP_NE": lambda a, v, _: a != v,
    "SCMP_CMP_LT": lambda a, v, _: a < v,
    "SCMP_CMP_LE": lambda a, v, _: a <= v,
    "SCMP_CMP_EQ": lambda a, v, _: a == v,
    "SCMP_CMP_GE": lambda a, v, _: a >= v,
    "SCMP_CMP_GT": lambda a, v, _: a > v,
    "SCMP_CMP_MASKED_EQ": lambda a, v, two: a & v == two & v,
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CALLS)),
    st.lists(
        st.builds(
            SyscallArg,
            index=st.integers(0, 5),
            value=VALUES,
            op=st.sampled_from(sorted(HOLDS)),
            value_two=VALUES,
        ),
        max_size=4,
        unique_by=lambda each: each.index,
    ),
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
    st.lists(st.lists(VALUES, min_size=6, max_size=6), min_size=1, max_size=8),
)
def test_law_a_program_answers_as_its_rule_says(
    call: str, conditions: list[SyscallArg], default: str, tried: list[list[int]]
) -> None:
    action = "SCMP_ACT_ERRNO" if default == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    made = program(
        seccomp(Syscall(names=(call,), action=action, args=tuple(conditions)), default=default)
    )

    said = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": EPERM}
    for args in tried:
        fits = all(HOLDS[c.op](args[c.index], c.value, c.value_two) for c in conditions)
        expected = said[action] if fits else said[default]
        assert answer(made, CALLS[call], args=tuple(args)) == expected


def test_the_default_filter_refuses_what_it_should_and_lets_a_program_run() -> None:
    made = program(default_profile(CAPABILITIES, machine="x86_64", kernel=(6, 1)))
    newuser, thread = 0x10000000, 0x3D0F00
    expected = {
        (39, ()): ALLOW,  # getpid
        (56, (thread,)): ALLOW,  # clone
        (56, (newuser | 17,)): EPERM,
        (435, ()): ENOSYS,  # clone3
        (41, (2,)): ALLOW,  # socket: AF_INET
        (41, (40,)): EPERM,  # AF_VSOCK
        (41, (40 | 1 << 32,)): EPERM,  # what the kernel takes for AF_VSOCK
        (135, (0xFFFFFFFF,)): ALLOW,  # personality
        (135, (0x0040000,)): EPERM,  # ADDR_NO_RANDOMIZE
        (250, ()): EPERM,  # keyctl
        (272, (newuser,)): EPERM,  # unshare
        (425, ()): EPERM,  # io_uring_setup
        (161, ()): ALLOW,  # chroot, for CAP_SYS_CHROOT is a default capability
        (457, ()): ALLOW,  # statmount, newer than many a libseccomp
        (999, ()): ENOSYS,
    }

    assert {call: answer(made, call[0], args=call[1]) for call in expected} == expected


def test_a_compiled_filter_is_kept_and_read_back(tmp_path: Path) -> None:
    cache = tmp_path / "seccomp"
    first = io.compile_filter(seccomp(refuse("kill")), str(cache))
    (file,) = cache.iterdir()
    before = file.stat().st_ino

    again = io.compile_filter(seccomp(refuse("kill")), str(cache))

    assert again == first == program(seccomp(refuse("kill")))
    assert [each.stat().st_ino for each in cache.iterdir()] == [before]
    assert (cache.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_is_kept_is_what_is_used(tmp_path: Path) -> None:
    """Else the test before this one would pass without any cache."""
    io.compile_filter(seccomp(refuse("kill")), str(tmp_path))
    io.compile_filter(seccomp(refuse("prctl")), str(tmp_path))
    kill, prctl = (
        next(f for f in tmp_path.iterdir() if f.read_bytes()[32:] == program(seccomp(refuse(n))))
        for n in ("kill", "prctl")
    )
    kill.write_bytes(prctl.read_bytes())

    assert io.compile_filter(seccomp(refuse("kill")), str(tmp_path)) == program(
        seccomp(refuse("prctl"))
    )


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 5000])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    wanted = io.compile_filter(seccomp(refuse("kill")), str(tmp_path))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)

    assert io.compile_filter(seccomp(refuse("kill")), str(tmp_path)) == wanted
    assert file.read_bytes() == whole


def test_a_cut_file_is_made_again(tmp_path: Path) -> None:
    wanted = io.compile_filter(seccomp(refuse("kill")), str(tmp_path))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-8])

    assert io.compile_filter(seccomp(refuse("kill")), str(tmp_path)) == wanted


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for cache in (tmp_path / "file", tmp_path / "missing" / "deep"):
        assert io.compile_filter(seccomp(refuse("kill")), str(cache)) == program(
            seccomp(refuse("kill"))
        )


def test_who_listens_does_not_change_the_program(tmp_path: Path) -> None:
    ask = Syscall(names=("mkdir",), action="SCMP_ACT_NOTIFY")
    for path in ("/run/a", "/run/b"):
        io.compile_filter(seccomp(ask, listener_path=path), str(tmp_path))

    assert len(list(tmp_path.iterdir())) == 1


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    program(seccomp(refuse("kill")))  # the library itself may keep something
    before = sorted(Path("/proc/self/fd").iterdir())

    io.compile_filter(seccomp(refuse("prctl")), str(tmp_path))

    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_our_table_of_architectures_has_libseccomps_numbers() -> None:
    library = io._library()
    for name, number in names.SECCOMP_ARCHITECTURES.items():
        known = library.seccomp_arch_resolve_name(io._lower(name))
        assert known in (0, number), name  # 0: newer than the library


def test_our_table_of_new_calls_has_libseccomps_numbers() -> None:
    from runtime.seccomp.numbers import NUMBERS

    library = io._library()
    known = {n: library.seccomp_syscall_resolve_name(n.encode()) for n in NUMBERS}
    assert len([number for number in known.values() if number > 0]) > 20
    assert all(number in (-1, NUMBERS[name]) for name, number in known.items())
