"""Keep what was measured, and print it as a table: median, 90th percentile and how many."""

import contextlib
import time
from collections.abc import Iterator


class Samples:
    """Milliseconds (or any unit that the row names) by row and contender."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[str, list[float]]] = {}

    def add(self, row: str, contender: str, value: float) -> None:
        """Keep one value."""
        self._taken.setdefault(row, {}).setdefault(contender, []).append(value)

    @contextlib.contextmanager
    def timed(self, row: str, contender: str) -> Iterator[None]:
        """Keep how many milliseconds the block takes, unless it fails."""
        started = time.perf_counter()
        yield
        self.add(row, contender, (time.perf_counter() - started) * 1000)

    def p50(self, row: str, contender: str) -> float | None:
        """The median, if there is any value."""
        values = self._taken.get(row, {}).get(contender)
        return percentile(values, 0.5) if values else None

    def table(self) -> str:
        """Rows of `p50 p90 n` for each contender."""
        names = list(dict.fromkeys(name for row in self._taken.values() for name in row))
        lines = [" " * 26 + "".join(f"{name:^26}" for name in names)]
        lines.append(f"{'ms':26}" + f"{'p50':>9}{'p90':>9}{'n':>6}  " * len(names))
        for row, taken in self._taken.items():
            cells = [
                _cell(taken[name]) if name in taken else f"{'-':>9}" + " " * 17 for name in names
            ]
            lines.append(f"{row:26}" + "".join(cells).rstrip())
        return "\n".join(lines)

    def as_json(self) -> dict[str, dict[str, dict[str, float]]]:
        """The same figures for programs."""
        return {
            row: {
                name: {
                    "p50": percentile(values, 0.5),
                    "p90": percentile(values, 0.9),
                    "n": len(values),
                }
                for name, values in taken.items()
            }
            for row, taken in self._taken.items()
        }


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def _cell(values: list[float]) -> str:
    return f"{percentile(values, 0.5):9.2f}{percentile(values, 0.9):9.2f}{len(values):6d}  "
