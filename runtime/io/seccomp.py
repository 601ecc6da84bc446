"""Compile filters for system calls with libseccomp, keep them, and load them.

Compiling takes milliseconds and the library, so a compiled filter is kept in a file that is
named after what it was compiled from; the next container costs one read. A file that a full
disk or a crash has damaged does not have the digest that it begins with, and is made again.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH102, PTH108

import contextlib
import ctypes
import functools
import os
from _blake2 import blake2b  # hashlib would load OpenSSL, which takes longer than all of this
from collections.abc import Iterator
from typing import Final

import msgspec

from runtime.oci import names
from runtime.oci.config import Seccomp, Syscall
from runtime.seccomp.numbers import AUDIT_NUMBERS, NUMBERS
from runtime.seccomp.preface import X32_BIT, Known, preface
from swarm.errors import Invalid, Refused

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_SYSCALL: Final = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "s390x": 348, "ppc64le": 358}
_SET_MODE_FILTER: Final = 1

_DIGEST_BYTES: Final = 32
_FORMAT: Final = b"1"  # to be raised when the same filter is compiled in another way
_EPERM: Final = 1
_EEXIST: Final = 17
_EFAULT: Final = 14
_ENOSYS: Final = 38
_WITH_ERRNO: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_LENIENT: Final = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
_NO_NEW_PRIVS_ATTRIBUTE: Final = 3
_OPTIMIZE_ATTRIBUTE: Final = 8
_BINARY_TREE: Final = 2
_NO_SUCH_NAME: Final = -1


def compile_filter(seccomp: Seccomp, cache: str) -> bytes:
    """A BPF program; `cache` is a directory that is made when it is needed, or empty.

    Raises `Refused` without libseccomp, and `Invalid` for what libseccomp cannot express.
    """
    if not cache:
        return _compile(seccomp)
    path = _path(seccomp, cache)
    found = _kept(path)
    if found is None:
        found = _compile(seccomp)
        with contextlib.suppress(OSError):  # without the file the next one compiles again
            _keep(cache, path, found)
    return found


def kept_filter(seccomp: Seccomp, cache: str) -> bytes | None:
    """What `compile_filter` has kept in `cache`, if it has."""
    return _kept(_path(seccomp, cache))


def _path(seccomp: Seccomp, cache: str) -> str:
    """The listener's address has nothing to do with the program."""
    plain = msgspec.structs.replace(seccomp, listener_path="", listener_metadata="")
    key = blake2b(
        msgspec.json.encode(plain), key=_FORMAT, digest_size=_DIGEST_BYTES, salt=_machine()
    ).hexdigest()
    return f"{cache}/{key}"


def load(program: bytes, flags: int) -> int:
    """seccomp(2): put this thread under the filter. The listener's descriptor, or -1.

    Needs no_new_privs or CAP_SYS_ADMIN. Raises `OSError`.
    """
    code = ctypes.create_string_buffer(program, len(program))
    filters = _Program(len(program) // 8, ctypes.addressof(code))
    number = _SECCOMP.get(os.uname().machine, -1)
    result = int(_SYSCALL(number, _SET_MODE_FILTER, flags, ctypes.byref(filters)))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result if result > 0 else -1


def supported_flags() -> tuple[str, ...]:
    """Those that this kernel knows: it looks at them before it looks for the filter."""
    number = _SECCOMP.get(os.uname().machine, -1)
    found: list[str] = []
    for name, flag in sorted(names.SECCOMP_FLAGS.items()):
        needed = 0x08 if name.endswith("WAIT_KILLABLE_RECV") else 0
        _SYSCALL(number, _SET_MODE_FILTER, flag | needed, None)
        if ctypes.get_errno() == _EFAULT:
            found.append(name)
    return tuple(found)


def library_version() -> str:
    """libseccomp's, such as 2.5.4; empty if it is not installed."""
    try:
        found = _library().seccomp_version().contents
    except Refused:
        return ""
    return f"{found.major}.{found.minor}.{found.micro}"


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class _Version(ctypes.Structure):
    """struct scmp_version of seccomp.h."""

    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as err:
        raise Refused(
            "libseccomp.so.2 cannot be loaded, so no filter for system calls can be made",
            hint="install libseccomp2, or run the container unconfined",
        ) from err
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    return library


def _machine() -> bytes:
    return os.uname().machine.encode()[:16]


def _kept(path: str) -> bytes | None:
    """The program in a file, if the file is whole."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    digest, program = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if not program or blake2b(program, digest_size=_DIGEST_BYTES).digest() != digest:
        return None
    return program


def _keep(directory: str, path: str, program: bytes) -> None:
    """Write a file without a name first: whoever is killed here leaves nothing behind."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    descriptor = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        content = blake2b(program, digest_size=_DIGEST_BYTES).digest() + program
        if os.write(descriptor, content) != len(content):
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # a damaged one
        with contextlib.suppress(FileExistsError):  # another container has just made it
            # A directory is named only to have linkat(2), which follows the link.
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _compile(seccomp: Seccomp) -> bytes:
    library = _library()
    default = _action(seccomp.default_action, seccomp.default_errno_ret)
    context = library.seccomp_init(default)
    if not context:
        raise Invalid(f"seccomp: this kernel has no {seccomp.default_action}")
    try:
        architectures = _add_architectures(library, context, seccomp)
        library.seccomp_attr_set(context, _NO_NEW_PRIVS_ATTRIBUTE, 0)
        library.seccomp_attr_set(context, _OPTIMIZE_ATTRIBUTE, _BINARY_TREE)
        for rule in seccomp.syscalls:
            action = _action(rule.action, rule.errno_ret)
            if action != default:
                _add_rule(library, context, rule, action)
        program = _export(library, context)
    finally:
        library.seccomp_release(context)
    return _preface(library, seccomp, architectures, default) + program


def _action(name: str, number: int | None) -> int:
    """libseccomp's own number, with the error number in its lower half."""
    action = names.SECCOMP_ACTIONS[name]
    return action | (_EPERM if number is None else number) if name in _WITH_ERRNO else action


def _add_architectures(library: ctypes.CDLL, context: int, seccomp: Seccomp) -> dict[str, int]:
    """All that the filter is for, with libseccomp's numbers; the machine's own always is."""
    native = int(library.seccomp_arch_native())
    found: dict[str, int] = {}
    for name in names.SECCOMP_ARCHITECTURES:
        token = int(library.seccomp_arch_resolve_name(_lower(name)))
        if not token or (name not in seccomp.architectures and token != native):
            continue
        found[name] = token
        failed = -int(library.seccomp_arch_add(context, token))
        if failed not in (0, _EEXIST):
            raise Invalid(f"seccomp: {name}: {os.strerror(failed).lower()}")
    return found


def _lower(architecture: str) -> bytes:
    return architecture.removeprefix("SCMP_ARCH_").lower().encode()


def _add_rule(library: ctypes.CDLL, context: int, rule: Syscall, action: int) -> None:
    for name in rule.names:
        number = int(library.seccomp_syscall_resolve_name(name.encode()))
        if number == _NO_SUCH_NAME:
            continue
        for count, comparisons in _comparisons(rule):
            failed = -int(
                library.seccomp_rule_add_array(context, action, number, count, comparisons)
            )
            if failed not in (0, _EEXIST):
                reason = os.strerror(failed).lower()
                raise Invalid(f"seccomp: {rule.action} for {name}: libseccomp says {reason}")


def _comparisons(rule: Syscall) -> Iterator[tuple[int, ctypes.Array[_Comparison] | None]]:
    """All of a rule's comparisons at once; each alone if two are about one argument.

    libseccomp takes one comparison for each argument. Engines rely on what runc makes of
    several: any of them suffices.
    """
    single = [
        _Comparison(each.index, names.SECCOMP_OPERATORS[each.op], each.value, each.value_two)
        for each in rule.args
    ]
    if len({each.index for each in rule.args}) == len(single):
        yield len(single), (_Comparison * len(single))(*single) if single else None
        return
    for each in single:
        yield 1, (_Comparison * 1)(each)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        failed = -int(library.seccomp_export_bpf(context, descriptor))
        if failed:
            raise Invalid(f"seccomp: libseccomp says {os.strerror(failed).lower()}")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _preface(
    library: ctypes.CDLL, seccomp: Seccomp, architectures: dict[str, int], default: int
) -> bytes:
    """Nothing before a filter that allows what it does not know, or says ENOSYS itself."""
    if seccomp.default_action in _LENIENT or default == _action("SCMP_ACT_ERRNO", _ENOSYS):
        return b""
    late = _late(library, seccomp, default)
    known: list[Known] = []
    for name, audit in AUDIT_NUMBERS.items():
        if name not in architectures:
            continue
        newest = _newest(library, architectures[name], seccomp)
        x32 = 0
        numbers = dict(late)
        if name == "SCMP_ARCH_X86_64" and "SCMP_ARCH_X32" in architectures:
            x32 = _newest(library, architectures["SCMP_ARCH_X32"], seccomp)
            numbers |= {number | X32_BIT: action for number, action in late.items()}
        known.append(Known(audit, newest, x32, numbers))
    return preface(tuple(known))


def _late(library: ctypes.CDLL, seccomp: Seccomp, default: int) -> dict[int, int]:
    """The actions of calls that the library does not know. The first rule for one counts."""
    found: dict[int, int] = {}
    for rule in seccomp.syscalls:
        for name in () if rule.args else rule.names:
            unknown = int(library.seccomp_syscall_resolve_name(name.encode())) == _NO_SUCH_NAME
            if unknown and name in NUMBERS:
                found.setdefault(NUMBERS[name], _action(rule.action, rule.errno_ret))
    return {number: action for number, action in found.items() if action != default}


def _newest(library: ctypes.CDLL, architecture: int, seccomp: Seccomp) -> int:
    """The highest number among the calls that the filter names, whatever it says of them."""
    newest = 0
    for name in {name for rule in seccomp.syscalls for name in rule.names}:
        number = int(library.seccomp_syscall_resolve_name_arch(architecture, name.encode()))
        if number == _NO_SUCH_NAME:
            number = NUMBERS.get(name, 0)
        newest = max(newest, number & ~X32_BIT if number > 0 else 0)
    return newest
