"""Number the system calls that are too new for this host's libseccomp.

Since 5.1 a new call has the same number everywhere, so the list can be known without the
library. A profile names calls of a dozen kernels, and distributions ship libraries that are
years older than the kernels they run on.
"""

from typing import Final

_FIRST: Final = 424
_TEXT: Final = """
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen
    fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
    process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset
    landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
    set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait
    futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
    setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
"""

NUMBERS: Final = {name: _FIRST + place for place, name in enumerate(_TEXT.split())}

# Where the numbers hold as they are, by AUDIT_ARCH_* of linux/audit.h. MIPS adds thousands.
AUDIT_NUMBERS: Final = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
}
