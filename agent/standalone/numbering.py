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


def ranges(found: frozenset[int]) -> str:
    """The list of these numbers."""
    parts, ordered = list[tuple[int, int]](), sorted(found)
    for each in ordered:
        if parts and parts[-1][1] == each - 1:
            parts[-1] = (parts[-1][0], each)
        else:
            parts.append((each, each))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
