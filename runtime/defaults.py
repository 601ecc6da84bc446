"""List what a container gets when nobody asked for anything else.

Capabilities, masked and read-only paths and devices are the ones that users of Docker know,
so that an image which runs there runs here, with no more rights.
"""

from typing import Final

from runtime.oci.names import CAPABILITIES as CAPABILITY_NUMBERS
from runtime.oci.names import RLIMITS

CAPABILITIES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip

MASKED_PATHS: Final = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip

READONLY_PATHS: Final = (
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
)  # fmt: skip

SHM_BYTES: Final = 64 << 20

# Where the network is the container's own: any user may listen on low ports and ping there.
PING_GROUPS: Final = "net.ipv4.ping_group_range"
NETWORK_SYSCTLS: Final = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    PING_GROUPS: "0 2147483647",
}

# Name, major, minor: what every program expects to find in /dev.
DEVICES: Final = (
    ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
    ("tty", 5, 0),
)  # fmt: skip

# As the agent's specs call them: in the order of their numbers, and without the prefix.
CAPABILITY_NAMES: Final = tuple(CAPABILITY_NUMBERS)
RLIMIT_NAMES: Final = {
    name.removeprefix("RLIMIT_").lower(): number for name, number in RLIMITS.items()
}
