import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.detaching import DEFAULT_KEYS, Watch, parse_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT_KEYS, b"\x10\x11"),
        ("ctrl-a,d", b"\x01d"),
        ("ctrl-A", b"\x01"),
        ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"),
        ("-", b"-"),
    ],
)
def test_keys_are_written_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-ab", "alt-x", "ctrl-1", "ü", "a,,b", "ctrl-ü"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a key"):
        parse_keys(text)


def test_the_sequence_is_noticed_across_reads() -> None:
    watch = Watch(b"\x10\x11")

    assert watch.feed(b"ls\x10") == (b"ls", False)
    assert watch.feed(b"\x11rest") == (b"", True)


def test_a_beginning_that_goes_on_otherwise_is_passed_on() -> None:
    watch = Watch(b"\x10\x11")

    assert watch.feed(b"\x10") == (b"", False)
    assert watch.feed(b"x") == (b"\x10x", False)


def test_a_beginning_within_a_beginning_counts() -> None:
    assert Watch(b"aab").feed(b"aaab") == (b"a", True)


@given(
    st.lists(st.binary(max_size=5), max_size=20),
    st.binary(min_size=1, max_size=3),
)
def test_law_what_is_typed_passes_unless_it_is_the_sequence(
    typed: list[bytes], keys: bytes
) -> None:
    """Nothing is lost or doubled: what passed is all that came before the sequence."""
    watch, passed, all_typed = Watch(keys), b"", b"".join(typed)
    for each in typed:
        found, is_complete = watch.feed(each)
        passed += found
        if is_complete:
            assert passed == all_typed[: all_typed.index(keys)]
            return

    assert keys not in all_typed
    held = len(all_typed) - len(passed)
    assert all_typed == passed + keys[:held]
