"""A failure is restored as it was raised, or judged by its status."""

import pytest

from swarm.errors import Conflict, Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable
from swarmctl.wire.ending import Ended
from swarmctl.wire.faults import failure


def with_detail(text: str, *, status: int = 2) -> Ended:
    return Ended(status=status, message="m", details={"swarm-error-bin": text.encode()})


def test_problems_and_hint_are_restored() -> None:
    detail = '{"kind": "Invalid", "message": "m", "hint": "h", "problems": ["a: b", "c: d"]}'

    error = failure(with_detail(detail))

    assert isinstance(error, Invalid)
    assert (error.message, error.hint, error.problems) == ("m", "h", ("a: b", "c: d"))


def test_a_refusing_kernel_is_restored_with_its_step() -> None:
    detail = '{"kind": "KernelRefused", "message": "m", "step": "mount /proc", "errno": 1}'

    error = failure(with_detail(detail))

    assert isinstance(error, KernelRefused)
    assert (error.step, error.errno) == ("mount /proc", 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (3, Invalid),
        (4, Unavailable),
        (5, Missing),
        (7, Refused),
        (9, Refused),
        (10, Conflict),
        (12, Refused),
        (13, Refused),
        (14, Unavailable),
        (99, Refused),
    ],
)
def test_a_bare_status_says_whose_move_it_is(status: int, kind: type[SwarmError]) -> None:
    error = failure(Ended(status=status, message="why"))

    assert type(error) is kind
    assert error.message


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": 3}', '{"kind": "Nope", "message": "m"}', "\x00"]
)
def test_a_detail_that_makes_no_sense_leaves_the_status(text: str) -> None:
    assert type(failure(with_detail(text, status=5))) is Missing
