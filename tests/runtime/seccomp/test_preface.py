"""Answers for system calls that are newer than the filter."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from runtime.seccomp.preface import X32_BIT, Known, preface
from tests.runtime.seccomp.bpf import answer

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
BEHIND = struct.pack("=HBBI", 0x06, 0, 0, EPERM)  # what the filter itself would say
X86_64, X86, ARM = 0xC000003E, 0x40000003, 0x40000028


def test_a_call_newer_than_the_profile_does_not_exist() -> None:
    program = preface((Known(X86_64, 450), Known(X86, 460))) + BEHIND

    assert answer(program, 450) == EPERM
    assert answer(program, 451) == ENOSYS
    assert answer(program, 451, architecture=X86) == EPERM
    assert answer(program, 461, architecture=X86) == ENOSYS


def test_another_architecture_is_left_to_the_filter() -> None:
    program = preface((Known(X86_64, 450),)) + BEHIND

    assert answer(program, 9999, architecture=ARM) == EPERM


def test_the_calls_of_x32_are_counted_apart() -> None:
    with_x32 = preface((Known(X86_64, 450, 440),)) + BEHIND
    without = preface((Known(X86_64, 450),)) + BEHIND

    assert answer(with_x32, 440 | X32_BIT) == EPERM
    assert answer(with_x32, 441 | X32_BIT) == ENOSYS
    assert answer(with_x32, 450) == EPERM
    assert answer(with_x32, 451) == ENOSYS
    assert answer(without, 1 | X32_BIT) == ENOSYS


@given(
    st.lists(
        st.builds(
            Known,
            st.sampled_from([X86_64, X86, ARM]),
            st.integers(0, 500),
            st.integers(0, 500),
            st.dictionaries(st.integers(400, 520), st.sampled_from([ALLOW, EPERM]), max_size=40),
        ),
        unique_by=lambda known: known.architecture,
    ),
    st.integers(0, 600),
    st.booleans(),
)
def test_law_the_preface_says_what_is_known(known: list[Known], number: int, x32: bool) -> None:
    program = preface(tuple(known)) + BEHIND

    for each in known:
        called = number | X32_BIT if x32 else number
        if called in each.late:
            expected = each.late[called]
        elif x32:
            expected = EPERM if each.newest_x32 and number <= each.newest_x32 else ENOSYS
        else:
            expected = EPERM if number <= each.newest else ENOSYS
        assert answer(program, called, architecture=each.architecture) == expected
