"""Run a filter's program as the kernel would, to see what it answers."""

import struct

_LOAD, _RETURN, _AND = 0x20, 0x06, 0x54
_JUMPS = {
    0x05: lambda _a, _k: True,
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: bool(a & k),
}


def answer(
    program: bytes, number: int, *, architecture: int = 0xC000003E, args: tuple[int, ...] = ()
) -> int:
    """What the program returns for one system call."""
    call = struct.pack("=IIQ6Q", number, architecture, 0, *(*args, *(0,) * 6)[:6])
    accumulator, place = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, place * 8)
        place += 1
        if code == _LOAD:
            (accumulator,) = struct.unpack_from("=I", call, value)
        elif code == _AND:
            accumulator &= value
        elif code == _RETURN:
            return int(value)
        elif code == 0x05:
            place += value
        else:
            place += if_true if _JUMPS[code](accumulator, value) else if_false
