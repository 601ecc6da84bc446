"""Render containers and processes as tables, columns aligned."""

from runtime.oci.state import Listed

_HEADINGS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
_LEAST_WIDTH = 12
_GAP = 3


def containers(found: list[Listed]) -> str:
    """The table of `list`."""
    rows = [
        (each.id, str(each.pid), each.status.value, each.bundle, each.created, each.owner)
        for each in found
    ]
    return _table([_HEADINGS, *rows])


def _table(rows: list[tuple[str, ...]]) -> str:
    count = len(rows[0])
    widths = [
        max(_LEAST_WIDTH, *(len(row[column]) + _GAP for row in rows)) for column in range(count)
    ]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def processes(ps: str, pids: set[int]) -> str:
    """Of what ps(1) printed, the heading and the lines of `pids`.

    Raises `ValueError` if there is no column PID.
    """
    lines = ps.splitlines()
    column = lines[0].split().index("PID") if lines else 0
    kept = [line for line in lines[1:] if _pid_in(line, column) in pids]
    return "".join(f"{line}\n" for line in (*lines[:1], *kept))


def _pid_in(line: str, column: int) -> int:
    cells = line.split()
    return int(cells[column]) if len(cells) > column and cells[column].isdecimal() else -1
