from runtime.io.filling import fill


def test_filled_holes_are_no_holes_for_the_next() -> None:
    """What is filled first leaves little but one block of each size to whoever comes next."""
    holes = [bytes(700) for _ in range(400)]
    del holes[::2]

    first, second = fill(), fill()

    assert sum(map(len, first)) < 64 << 20
    assert len(second) <= len(first)
    assert sum(map(len, second)) < 1 << 20
