"""Read lists of numbers as the kernel writes them: `0-2,5`."""

MOST = 1 << 16


def numbers(text: str) -> frozenset[int]:
    """What a list holds, up to MOST; nothing of what is no list."""
    found = set[int]()
    for each in filter(None, text.split(",")):
        first, _, last = each.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first), MOST) + 1))
    return frozenset(found)
