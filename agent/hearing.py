"""Tell whether a first process can hear the signal that asks it to stop.

The kernel drops a signal that the first process of a pid namespace neither catches nor
blocks: what would end any other process does nothing to it (pid_namespaces(7)). Waiting the
grace out for such a process helps nobody, so it is killed at once, which is what the signal
would have done to it outside. One that explicitly ignores the signal said that it wants to
go on, and gets its whole grace. Source of the masks: proc_pid_status(5).

Whoever sits in sigwait(3) looks deaf, for the kernel takes what is waited for out of the masks
that it shows meanwhile; it shows where the process waits, too (`wchan` in proc(5)). That of a
process that runs, or could if it had a processor, is not shown. So one is judged by a look that
it slept through, or by having run for a while without a sleep; one that is on its way into or
out of sigwait(3) does neither. In doubt it is asked.
"""

import signal as signals

from msgspec import Struct

_SIGWAIT = "do_sigtimedwait"  # compilers add to it: do_sigtimedwait.isra.0
_NOWHERE = "0"  # it runs, or is about to: it may say that it sleeps by then
_LONG_NS = 20_000_000


class Look(Struct, frozen=True, kw_only=True):
    """What `/proc/<pid>` has of a process: its `status`, `wchan`, `schedstat`, and `status` again.

    All are empty when it is gone, or not ours to look at.
    """

    before: str = ""
    waits_in: str = ""
    schedstat: str = ""
    after: str = ""


class Ear:
    """Judges one first process that is to be stopped with `signal`, look by look."""

    def __init__(self, signal: int) -> None:
        self._signal = signal
        self._switches = ""
        self._since_ns = 0

    def judge(self, look: Look) -> int | None:
        """`signal` when the process hears it, SIGKILL when it is deaf to it, None for no idea yet.

        An unreadable (empty) status counts as hearing.
        """
        hears_it = not look.before or hears(look.before, self._signal)
        if hears_it or look.waits_in.startswith(_SIGWAIT):
            return self._signal
        if _slept(look) or self._ran_long(look):
            return int(signals.SIGKILL)
        return None

    def _ran_long(self, look: Look) -> bool:
        """Whether it ran for long since the first look, and has not slept."""
        switches, ran_ns = _switches(look.after), int((look.schedstat.split() or "0")[0])
        if switches != self._switches:
            self._switches, self._since_ns = switches, ran_ns
        return ran_ns - self._since_ns >= _LONG_NS


def hears(status_text: str, signal: int) -> bool:
    """Whether the process of this `/proc/<pid>/status` catches, blocks or ignores `signal`."""
    masks = _fields(status_text)
    bit = 1 << (signal - 1)
    return any(int(masks.get(name, "0"), 16) & bit for name in ("SigBlk", "SigIgn", "SigCgt"))


def _slept(look: Look) -> bool:
    return look.waits_in != _NOWHERE and _switches(look.before) == _switches(look.after)


def _switches(status_text: str) -> str:
    """How often it went to sleep."""
    return _fields(status_text).get("voluntary_ctxt_switches", "")


def _fields(status_text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in status_text.splitlines() if ":" in line)
