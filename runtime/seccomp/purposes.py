"""Sort the system calls of a well-behaved container by what they are for.

This is the allow-list of the default profile before any capability is looked at. A call is in
it if it can only reach what the container has anyway: its own processes, memory, files and
sockets, each behind the kernel's own checks. A name that a machine or a kernel does not have
is harmless. The variants behind the bar in a group are the same calls for programs with 32-bit
words, times or user ids.

Missing on purpose, whatever the capabilities: the kernel's keyrings, which belong to no
namespace; io_uring, whose operations pass by this very filter; userfaultfd, the favourite tool
for winning races against the kernel; kexec, swap, NFS and quota calls of the host; and calls
that Linux itself gave up.
"""

from typing import Final

_FILES: Final = """
    open openat openat2 creat close close_range dup dup2 dup3 fcntl flock ioctl
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek
    sendfile splice tee vmsplice copy_file_range readahead fadvise64 fallocate truncate ftruncate
    sync syncfs fsync fdatasync sync_file_range
    | fcntl64 _llseek sendfile64 fadvise64_64 truncate64 ftruncate64
"""
_NAMES_OF_FILES: Final = """
    access faccessat faccessat2 chdir fchdir getcwd getdents getdents64 readlink readlinkat
    link linkat symlink symlinkat unlink unlinkat rename renameat renameat2
    mkdir mkdirat rmdir mknod mknodat name_to_handle_at
"""
_ATTRIBUTES_OF_FILES: Final = """
    stat fstat lstat newfstatat statx statfs fstatfs statmount listmount
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat umask
    utime utimes futimesat utimensat
    getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
    listxattr llistxattr flistxattr listxattrat
    removexattr lremovexattr fremovexattr removexattrat
    | stat64 fstat64 lstat64 fstatat64 statfs64 fstatfs64 chown32 fchown32 lchown32
    utimensat_time64
"""
_WAITING_FOR_FILES: Final = """
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait
    epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
    io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
    | _newselect ppoll_time64 pselect6_time64 io_pgetevents_time64
"""
# Not `socket` itself: which families it may make is a question of its arguments.
_SOCKETS_AND_PIPES: Final = """
    pipe pipe2 socketpair bind listen accept accept4 connect shutdown
    getsockname getpeername getsockopt setsockopt
    send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg
    | socketcall recvmmsg_time64
"""
_MEMORY: Final = """
    brk mmap munmap mremap mprotect madvise mincore msync remap_file_pages
    mlock mlock2 mlockall munlock munlockall mseal membarrier cachestat
    memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect map_shadow_stack
    | mmap2
"""
_PROCESSES: Final = """
    fork vfork execve execveat exit exit_group wait4 waitid waitpid
    getpid getppid gettid getpgid getpgrp setpgid getsid setsid
    prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
    pidfd_open pidfd_send_signal process_mrelease
    set_tid_address set_robust_list get_robust_list restart_syscall rseq
    get_thread_area set_thread_area riscv_hwprobe uretprobe
"""
_SIGNALS: Final = """
    kill tkill tgkill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack signalfd signalfd4
    | sigprocmask sigreturn rt_sigtimedwait_time64
"""
_IDENTITY: Final = """
    getuid geteuid getgid getegid getresuid getresgid getgroups
    setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
    capget capset
    | getuid32 geteuid32 getgid32 getegid32 getresuid32 getresgid32 getgroups32
    setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32
    setgroups32
"""
_SCHEDULING_AND_LIMITS: Final = """
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr
    sched_getparam sched_setparam sched_getscheduler sched_setscheduler
    sched_get_priority_min sched_get_priority_max sched_rr_get_interval
    getpriority setpriority ioprio_get ioprio_set
    getrlimit setrlimit prlimit64 getrusage times getcpu sysinfo uname
    | ugetrlimit sched_rr_get_interval_time64
"""
# The clock can be read by all, and slewed by none without CAP_SYS_TIME, which the kernel asks.
_TIME: Final = """
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm
    getitimer setitimer adjtimex clock_adjtime
    timer_create timer_delete timer_gettime timer_settime timer_getoverrun
    timerfd_create timerfd_gettime timerfd_settime
    | clock_gettime64 clock_getres_time64 clock_nanosleep_time64 clock_adjtime64
    timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64
"""
# Futexes, System V and POSIX queues, and randomness, which needs no one else.
_BETWEEN_PROCESSES: Final = """
    futex futex_wait futex_waitv futex_wake futex_requeue
    shmget shmat shmctl shmdt semget semctl semop semtimedop msgget msgctl msgsnd msgrcv
    mq_open mq_unlink mq_getsetattr mq_notify mq_timedsend mq_timedreceive getrandom
    | ipc futex_time64 semtimedop_time64 mq_timedsend_time64 mq_timedreceive_time64
"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace("|", " ").split())


ORDINARY: Final = tuple(
    sorted(
        {
            name
            for text in (
                _FILES, _NAMES_OF_FILES, _ATTRIBUTES_OF_FILES, _WAITING_FOR_FILES,
                _SOCKETS_AND_PIPES, _MEMORY, _PROCESSES, _SIGNALS, _IDENTITY,
                _SCHEDULING_AND_LIMITS, _TIME, _BETWEEN_PROCESSES,
            )
            for name in _names(text)
        }
    )
)  # fmt: skip

# Debugging others of the same user and container. Before 4.8 a traced process could change a
# call after this filter had seen it.
TRACING: Final = ("process_vm_readv", "process_vm_writev", "ptrace")
TRACING_IS_SAFE_SINCE: Final = (4, 8)

# What each kind of machine needs beside, by `os.uname().machine`.
OF_MACHINES: Final = {
    "x86_64": ("arch_prctl", "modify_ldt"),
    "i386": ("modify_ldt",),
    "i686": ("modify_ldt",),
    "aarch64": _names("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint"
                      " cacheflush set_tls"),
    "armv7l": _names("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint"
                     " cacheflush set_tls"),
    "ppc64le": ("sync_file_range2", "swapcontext"),
    "riscv64": ("riscv_flush_icache",),
    "s390x": ("s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"),
}  # fmt: skip

# What a capability allows: where the kernel itself asks for it, the filter steps aside.
OF_CAPABILITIES: Final = {
    "CAP_BPF": ("bpf",),
    "CAP_DAC_READ_SEARCH": ("open_by_handle_at",),
    "CAP_PERFMON": ("perf_event_open",),
    "CAP_SYSLOG": ("syslog",),
    "CAP_SYS_ADMIN": _names("""
        mount umount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick
        unshare setns clone clone3 sethostname setdomainname
        bpf perf_event_open fanotify_init lookup_dcookie syslog quotactl quotactl_fd
        lsm_get_self_attr lsm_set_self_attr lsm_list_modules
    """),
    "CAP_SYS_BOOT": ("reboot",),
    "CAP_SYS_CHROOT": ("chroot",),
    "CAP_SYS_MODULE": ("init_module", "finit_module", "delete_module"),
    "CAP_SYS_NICE": ("get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "mbind"),
    "CAP_SYS_PACCT": ("acct",),
    "CAP_SYS_PTRACE": (*TRACING, "kcmp", "pidfd_getfd", "process_madvise"),
    "CAP_SYS_RAWIO": ("ioperm", "iopl"),
    "CAP_SYS_TIME": ("settimeofday", "stime", "clock_settime", "clock_settime64"),
    "CAP_SYS_TTY_CONFIG": ("vhangup",),
}
