"""Tell whether a first process can hear the signal that asks it to stop.

The kernel drops a signal that the first process of a pid namespace neither catches nor
blocks: what would end any other process does nothing to it (pid_namespaces(7)). Waiting the
grace out for such a process helps nobody, so it is killed at once, which is what the signal
would have done to it outside. One that explicitly ignores the signal said that it wants to
go on, and gets its whole grace. Source of the masks: proc_pid_status(5).

Whoever sits in sigwait(3) looks deaf, for the kernel takes what is waited for out of the masks
that it shows meanwhile; it shows where the process waits, too (`wchan` in proc(5)). That of a
process that runs is not shown, so only one that slept through the look at it is judged by it.
"""

import signal as signals

_SIGWAIT = "do_sigtimedwait"  # compilers add to it: do_sigtimedwait.isra.0
_NOWHERE = "0"  # it runs, or is about to: it may say that it sleeps by then


def hears(status_text: str, signal: int) -> bool:
    """Whether the process of this `/proc/<pid>/status` catches, blocks or ignores `signal`."""
    masks = _fields(status_text)
    bit = 1 << (signal - 1)
    return any(int(masks.get(name, "0"), 16) & bit for name in ("SigBlk", "SigIgn", "SigCgt"))


def slept(before: str, waits_in: str, after: str) -> bool:
    """Whether it slept in `waits_in` from the one `/proc/<pid>/status` to the other."""
    return waits_in != _NOWHERE and _switches(before) == _switches(after)


def effective_signal(status_text: str, waits_in: str, signal: int) -> int:
    """`signal` when the first process hears it, SIGKILL when it is deaf to it.

    An unreadable (empty) status counts as hearing: the process is ending, or not ours to judge.
    """
    if not status_text or hears(status_text, signal) or waits_in.startswith(_SIGWAIT):
        return signal
    return int(signals.SIGKILL)


def _switches(status_text: str) -> str | None:
    return _fields(status_text).get("voluntary_ctxt_switches")


def _fields(status_text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in status_text.splitlines() if ":" in line)
