"""Answer for system calls that a filter could not have known, before the filter itself.

A call that is newer than every call that the filter names is refused with ENOSYS: the profile's
author knew nothing of it, and only this answer has a C library fall back on the older way that
the profile does allow. Calls that the profile names but libseccomp is too old for get the
profile's action here. What follows is libseccomp's program, unchanged.

Classic BPF over struct seccomp_data (linux/seccomp.h): the call's number at 0, its
architecture at 4. A jump counts instructions from the next one on.
"""

import struct
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_GREATER: Final = 0x25
_JUMP_IF_BITS: Final = 0x45
_RETURN: Final = 0x06
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_NO_SUCH_CALL: Final = 0x00050000 | 38
X32_BIT: Final = 0x40000000
# One byte holds a conditional jump's distance.
_LONGEST_JUMP: Final = 255


class Known(Struct, frozen=True):
    """What is known of one architecture, by its number in linux/audit.h.

    `newest` is the highest number that the filter names, `newest_x32` that of x32's calls (0:
    none are allowed), which are told apart by a bit. `late` are the actions of calls that
    libseccomp does not know, by their numbers.
    """

    architecture: int
    newest: int
    newest_x32: int = 0
    late: Mapping[int, int] = {}


def preface(architectures: tuple[Known, ...]) -> bytes:
    """The program's beginning; it falls through to what is put behind it."""
    blocks = [_block(known) for known in architectures]
    program: list[bytes] = []
    for number, block in enumerate(blocks):
        following = sum(len(each) + 3 for each in blocks[number + 1 :])
        program += [
            _op(_LOAD, _ARCHITECTURE),
            _op(_JUMP_IF_EQUAL, architectures[number].architecture, 0, len(block) + 1),
            *block,
            _op(_JUMP, following),
        ]
    return b"".join(program)


def _block(known: Known) -> list[bytes]:
    """Returns an answer, or reaches its end."""
    block = [_op(_LOAD, _NUMBER)]
    for call, action in sorted(known.late.items()):
        block += [_op(_JUMP_IF_EQUAL, call, 0, 1), _op(_RETURN, action)]
    if known.newest_x32:
        block += [
            _op(_JUMP_IF_BITS, X32_BIT, 1, 0),
            _op(_JUMP_IF_GREATER, known.newest, 1, 2),
            _op(_JUMP_IF_GREATER, known.newest_x32 | X32_BIT, 0, 1),
        ]
    else:
        block.append(_op(_JUMP_IF_GREATER, known.newest, 0, 1))
    block.append(_op(_RETURN, _NO_SUCH_CALL))
    assert len(block) < _LONGEST_JUMP
    return block


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
