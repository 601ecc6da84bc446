"""Read one number out of an answer of Prometheus' query API.

A query of an autoscaled service has to yield exactly one number, as a scalar or as a vector of
one series; anything else is told with what would make it one. See "HTTP API" of Prometheus'
documentation, `GET /api/v1/query`.
"""

from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct

from swarm.errors import Invalid, Unavailable

_SHOWN = 200


class _Series(Struct, frozen=True):
    value: tuple[float, str]


class _Found(Struct, frozen=True, rename="camel"):
    result_type: str = ""
    result: Any = ()


class _Answer(Struct, frozen=True):
    status: str = ""
    data: _Found = _Found()
    error: str = ""


def read_answer(status: int, body: bytes) -> float:
    """The number; `Invalid` when the query has to be rewritten, else `Unavailable`."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as err:
        raise Unavailable(f"prometheus answers {status} and no JSON") from err
    if answer.status != "success":
        text = answer.error[:_SHOWN] or f"status {status}"
        kind = Invalid if status in (400, 422) else Unavailable
        raise kind(f"prometheus says: {text}")
    number = _number(answer.data)
    if not isfinite(number) or number < 0:
        raise Unavailable(f"the query yields {number:g}")
    return number


def _number(found: _Found) -> float:
    try:
        if found.result_type == "scalar":
            return float(msgspec.convert(found.result, tuple[float, str])[1])
        if found.result_type != "vector":
            raise Invalid(f"the query yields a {found.result_type or 'nothing'}, not a number")
        series = msgspec.convert(found.result, list[_Series])
        if not series:
            raise Unavailable("the query yields no series")
        if len(series) > 1:
            raise Invalid(
                f"the query yields {len(series)} series", hint="aggregate them, as in sum(...)"
            )
        return float(series[0].value[1])
    except (msgspec.ValidationError, ValueError) as err:
        raise Unavailable("prometheus answers with what is not a number") from err
