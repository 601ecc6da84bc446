"""Make the filter that a container has when nobody asked for another.

Whatever is not allowed is refused with EPERM, except `clone3`, which is refused as if the
kernel were too old for it: its arguments lie in memory, where no filter can see whether they
ask for namespaces, and C libraries then fall back on `clone`, whose arguments we can see.
"""

from collections.abc import Collection, Iterator
from typing import Final

from runtime.oci import names
from runtime.oci.config import Seccomp, Syscall, SyscallArg
from runtime.seccomp.purposes import (
    OF_CAPABILITIES,
    OF_MACHINES,
    ORDINARY,
    TRACING,
    TRACING_IS_SAFE_SINCE,
)

_EPERM: Final = 1
_ENOSYS: Final = 38
_AF_ALG: Final = 38
_AF_VSOCK: Final = 40
_LOWER_HALF: Final = 0xFFFFFFFF
_PERSONALITY_QUERY: Final = 0xFFFFFFFF
_MASKED: Final = "SCMP_CMP_MASKED_EQ"
_UNAME26: Final = 0x20000
# clone(2) has no flag for a time namespace: its bit is within the signal's number.
_NEW_NAMESPACES: Final = sum(flag for flag, _ in names.NAMESPACES.values() if flag > 0xFF)

# The machine's own architecture and those whose programs it runs too.
ARCHITECTURES: Final = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "i386": ("SCMP_ARCH_X86",),
    "i686": ("SCMP_ARCH_X86",),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "armv7l": ("SCMP_ARCH_ARM",),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64",),
}


def default_profile(
    capabilities: Collection[str], *, machine: str, kernel: tuple[int, int]
) -> Seccomp:
    """`capabilities` are those of the bounding set; the rest is uname(2)'s."""
    return Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=_EPERM,
        architectures=ARCHITECTURES.get(machine, ()),
        syscalls=tuple(_rules(frozenset(capabilities), machine, kernel)),
    )


def _rules(
    capabilities: frozenset[str], machine: str, kernel: tuple[int, int]
) -> Iterator[Syscall]:
    allowed = {*ORDINARY, *OF_MACHINES.get(machine, ())}
    if kernel >= TRACING_IS_SAFE_SINCE:
        allowed.update(TRACING)
    for capability in capabilities:
        allowed.update(OF_CAPABILITIES.get(capability, ()))
    yield Syscall(names=tuple(sorted(allowed)), action="SCMP_ACT_ALLOW")
    yield from _sockets()
    yield from _personalities()
    if "CAP_SYS_ADMIN" not in capabilities:
        yield _clone_without_namespaces(machine)
        yield Syscall(names=("clone3",), action="SCMP_ACT_ERRNO", errno_ret=_ENOSYS)


def _sockets() -> Iterator[Syscall]:
    """All families but two: AF_ALG's kernel code is not written for enemies, and AF_VSOCK
    reaches the hypervisor from whatever network namespace it is called in.

    The kernel looks at the lower half of the argument only. So do we: a comparison of the
    whole would let a refused family pass with any bit set in the upper half.
    """
    for first, last in (
        (0, _AF_ALG - 1),
        (_AF_ALG + 1, _AF_VSOCK - 1),
        (_AF_VSOCK + 1, _LOWER_HALF),
    ):
        for value, size in aligned_blocks(first, last):
            mask = _LOWER_HALF & ~(size - 1)
            yield _if("socket", SyscallArg(index=0, op=_MASKED, value=mask, value_two=value))


def aligned_blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The numbers from `first` to `last` as (start, power of two) that a mask can test."""
    while first <= last:
        size = first & -first or 1 << last.bit_length()
        while first + size - 1 > last:
            size //= 2
        yield first, size
        first += size


def _personalities() -> Iterator[Syscall]:
    """Those that old programs need, and the question; none that weakens the address layout."""
    plain = names.PERSONALITIES.values()
    wanted = (*plain, *(value | _UNAME26 for value in plain), _PERSONALITY_QUERY)
    for value in wanted:
        yield _if("personality", SyscallArg(index=0, op="SCMP_CMP_EQ", value=value))


def _clone_without_namespaces(machine: str) -> Syscall:
    """Threads and forks. On s390 the flags are the second argument."""
    index = 1 if machine.startswith("s390") else 0
    none = SyscallArg(index=index, op=_MASKED, value=_NEW_NAMESPACES, value_two=0)
    return _if("clone", none)


def _if(name: str, argument: SyscallArg) -> Syscall:
    return Syscall(names=(name,), action="SCMP_ACT_ALLOW", args=(argument,))
