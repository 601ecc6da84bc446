import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Broken, Conflict, Invalid, KernelRefused, Missing, Refused, Unavailable
from swarm.faults import LIMIT_BYTES, brief, encode, restore

TEXT = st.text(max_size=200)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32), max_size=60)


@pytest.mark.parametrize("kind", [Missing, Broken, Refused, Conflict, Unavailable])
@given(message=PLAIN, hint=PLAIN)
def test_law_class_message_and_hint_arrive(kind, message: str, hint: str) -> None:
    restored = restore(encode(kind(message, hint=hint)))

    assert type(restored) is kind
    assert (restored.message, restored.hint) == (message, hint)


def test_every_problem_arrives_with_its_path() -> None:
    problems = ("mounts[2].source: must be absolute", "replicas: must not be negative")

    restored = restore(encode(Invalid("2 problems", hint="fix them", problems=problems)))

    assert isinstance(restored, Invalid)
    assert restored.problems == problems


def test_what_the_kernel_refused_arrives() -> None:
    restored = restore(encode(KernelRefused("mount /proc", 13, "permission denied")))

    assert isinstance(restored, KernelRefused)
    assert (restored.step, restored.errno) == ("mount /proc", 13)


@given(TEXT, TEXT, st.lists(st.text(max_size=800), max_size=60), st.integers(1, 200))
def test_law_any_error_fits_into_metadata(
    message: str, hint: str, problems: list[str], times: int
) -> None:
    error = Invalid(message * times, hint=hint * times, problems=tuple(problems))

    restored = restore(encode(error))

    assert len(encode(error)) <= LIMIT_BYTES
    assert isinstance(restored, Invalid)
    assert restored.problems
    assert len(brief(error).encode()) <= 4 * 300


def test_a_long_list_of_problems_says_how_many_are_left_out() -> None:
    problems = tuple(f"env[{number}]: no equals sign in it" for number in range(1000))

    restored = restore(encode(Invalid("1000 problems", problems=problems)))

    assert isinstance(restored, Invalid)
    shown = len(restored.problems) - 1
    assert restored.problems[:shown] == problems[:shown]
    assert restored.problems[-1] == f"and {1000 - shown} more"


def test_a_path_that_is_no_unicode_arrives_escaped() -> None:
    restored = restore(encode(Missing("no file \udcff")))

    assert restored is not None
    assert restored.message == "no file \\udcff"


@pytest.mark.parametrize("detail", [b"", b"{}", b"\xff", b'{"kind":"King","message":"x"}'])
def test_what_is_not_ours_is_not_an_error_of_ours(detail: bytes) -> None:
    assert restore(detail) is None
