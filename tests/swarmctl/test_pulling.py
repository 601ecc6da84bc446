"""A pull is pictured layer by layer."""

from swarmctl.pulling import Layer, Pull


def layer(digest: str, status: str, current: int = 0, total: int = 0) -> Layer:
    return Layer(digest=f"sha256:{digest}", status=status, current_bytes=current, total_bytes=total)


def test_a_line_is_told_only_when_a_status_changes() -> None:
    pull = Pull()

    told = [
        pull.seen(layer("a" * 64, "waiting")),
        pull.seen(layer("a" * 64, "downloading", 1, 10)),
        pull.seen(layer("a" * 64, "downloading", 5, 10)),
        pull.seen(layer("a" * 64, "done")),
    ]

    assert told == [
        "aaaaaaaaaaaa: Waiting",
        "aaaaaaaaaaaa: Downloading",
        None,
        "aaaaaaaaaaaa: Pull complete",
    ]


def test_a_terminal_sees_bars_in_the_order_of_the_layers() -> None:
    pull = Pull()
    pull.seen(layer("a", "downloading", 500_000, 1_000_000))
    pull.seen(layer("b", "exists"))
    pull.seen(layer("a", "extracting", 750_000, 1_000_000))

    assert pull.lines(columns=100) == [
        f"a: Extracting [{'=' * 22}>{' ' * 7}] 750kB/1MB",
        "b: Already exists",
    ]
    assert all(len(line) < 20 for line in pull.lines(columns=20))


def test_an_image_whose_layers_all_exist_is_not_new() -> None:
    pull = Pull()
    pull.seen(layer("a", "exists"))
    assert not pull.is_new

    pull.seen(layer("b", "done"))

    assert pull.is_new
