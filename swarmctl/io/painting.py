"""Repaint a few lines of a terminal in place."""

from swarmctl.io.session import Session


class Canvas:
    """The lines that were painted last; without a terminal nothing is painted."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_live = session.is_interactive()
        self._lines: list[str] = []

    @property
    def is_live(self) -> bool:
        """Whether someone sees what is painted."""
        return self._is_live

    def paint(self, lines: list[str]) -> None:
        """Show `lines` in the place of the former ones."""
        if not self._is_live or lines == self._lines:
            return
        up = f"\x1b[{len(self._lines)}A" if self._lines else ""
        body = "".join(f"\x1b[2K{line}\n" for line in lines)
        rest = len(self._lines) - len(lines)
        clear = "\x1b[J" if rest > 0 else ""
        self._session.write(f"\r{up}{body}{clear}", flush=True)
        self._lines = lines

    def leave(self) -> None:
        """Keep what is shown; the next lines go below it."""
        self._lines = []
