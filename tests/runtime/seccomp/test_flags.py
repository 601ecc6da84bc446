"""The flags that seccomp(2) loads a filter with."""

from runtime.oci.config import Seccomp, Syscall
from runtime.seccomp.flags import filter_flags

TSYNC, WAIT = "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
ASK = (Syscall(names=("mkdir",), action="SCMP_ACT_NOTIFY"),)


def flags(*names: str, syscalls: tuple[Syscall, ...] = ()) -> int:
    return filter_flags(Seccomp(default_action="SCMP_ACT_ALLOW", flags=names, syscalls=syscalls))


def test_without_flags_there_are_none() -> None:
    assert flags() == 0


def test_each_flag_has_its_bit() -> None:
    assert flags(TSYNC, "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0b111


def test_who_is_to_be_asked_needs_a_listener() -> None:
    assert flags(syscalls=ASK) == 0x08


def test_waiting_for_a_listener_makes_no_sense_without_one() -> None:
    assert flags(WAIT) == 0
    assert flags(WAIT, syscalls=ASK) == 0x28


def test_a_listener_and_synchronised_threads_need_another_way_to_say_no() -> None:
    assert flags(TSYNC, syscalls=ASK) == 0x08 | 0x10 | 0x01
