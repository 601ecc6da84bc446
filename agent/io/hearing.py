"""Ask the kernel what a first process hears, right before it is asked to stop."""

from pathlib import Path

from agent.hearing import effective_signal


def choose_signal(pid: int, signal: int) -> int:
    """The signal to send to the first process `pid` that is to be stopped with `signal`."""
    return effective_signal(_read(pid, "status"), _read(pid, "wchan"), signal)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
