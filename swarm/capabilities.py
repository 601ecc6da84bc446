"""Name the kernel's capabilities, and work out which ones a container has.

Users write `NET_ADMIN`, `cap_net_admin` or `ALL`; specs hold `CAP_NET_ADMIN` and `ALL`. As with
Docker, what is added wins over what is dropped: `--cap-drop ALL --cap-add CHOWN` leaves one,
`--cap-add ALL --cap-drop CHOWN` all but one.
"""

from collections.abc import Collection, Iterable
from typing import Final

from swarm.errors import Invalid

ALL: Final = "ALL"

# By their number, from linux/capability.h.
NAMES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip


def parse_capability(text: str) -> str:
    """`CAP_NET_ADMIN` of `net_admin`; `ALL` stays; `Invalid` names what was probably meant."""
    name = text.strip().upper()
    if name == ALL:
        return name
    if not name.startswith("CAP_"):
        name = f"CAP_{name}"
    if name not in NAMES:
        raise Invalid(f"there is no capability {text!r}", hint=_hint(name))
    return name


def effective(
    add: Collection[str], drop: Collection[str], *, default: Collection[str]
) -> tuple[str, ...]:
    """What a container has that asks so, where `default` is what one has that does not ask."""
    if ALL in add:
        kept = set(NAMES).difference(drop)
    elif ALL in drop:
        kept = set(add)
    else:
        kept = set(default).difference(drop).union(add)
    return tuple(each for each in NAMES if each in kept)


def settled(add: Iterable[str], drop: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both lists sorted and without what has no effect: `ALL` swallows the rest, adding wins."""
    adds, drops = set(add), set(drop)
    if ALL in adds:
        adds = {ALL}
    if ALL in drops:
        drops = {ALL}
    return tuple(sorted(adds)), tuple(sorted(drops - adds))


def _hint(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, NAMES, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else "capabilities(7) lists them"
