"""Errors as clients read them."""

import pytest

from engine import refusals, replies
from engine.refusals import Denied
from swarm.errors import (
    Broken,
    Conflict,
    Invalid,
    KernelRefused,
    Missing,
    Refused,
    SwarmError,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x"), 400), (Missing("x"), 404), (Refused("x"), 409), (Conflict("x"), 409),
        (Broken("x"), 500),
        (KernelRefused("s", 1, "x"), 500), (Unavailable("x"), 503), (Denied(418, "x"), 418),
        (SwarmError("x"), 500),
    ],
)  # fmt: skip
def test_a_status_says_whose_move_it_is(error: SwarmError, status: int) -> None:
    assert refusals.status_of(error) == status
    assert replies.refusal(error).status == status


def test_words_have_every_problem_once_and_what_to_do() -> None:
    assert refusals.words_of(Invalid("a", problems=("a", "b"), hint="c")) == "a; b (c)"
    assert refusals.words_of(Invalid("2 problems", problems=("a", "b"))) == "2 problems: a; b"
    assert refusals.words_of(KernelRefused("mount", 1, "no", hint="try")) == "mount: no (try)"


def test_an_error_without_words_has_some() -> None:
    assert refusals.words_of(Refused("")) == "the request failed: refused"
