import subprocess
import sys

FILLS_TWICE = """
from runtime.io.filling import fill

holes = [bytes(700) for _ in range(400)]
del holes[::2]
first, second = fill(), fill()
print(len(first), sum(map(len, first)), len(second), sum(map(len, second)))
"""


def test_filled_holes_are_no_holes_for_the_next() -> None:
    """What is filled first leaves little but one block of each size to whoever comes next.

    In a process of its own, as a launcher is: the heap of one that has run a thousand tests has
    holes that no launcher knows.
    """
    told = subprocess.run(
        [sys.executable, "-c", FILLS_TWICE], check=True, capture_output=True, text=True
    )
    first, first_bytes, second, second_bytes = map(int, told.stdout.split())

    assert first_bytes < 64 << 20
    assert second <= first
    assert second_bytes < 1 << 20
