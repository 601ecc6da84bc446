import json

import pytest

from manager.prometheus import read_answer
from swarm.errors import Invalid, Unavailable


def answer(result: object, kind: str = "vector", **fields: object) -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": kind, "result": result}, **fields}
    ).encode()


def series(*values: str) -> list[dict[str, object]]:
    return [{"metric": {"job": "x"}, "value": [1700000000.5, each]} for each in values]


def test_a_scalar_or_one_series_is_a_number() -> None:
    assert read_answer(200, answer([1700000000.1, "42.5"], "scalar")) == 42.5
    assert read_answer(200, answer(series("7"))) == 7.0


def test_several_series_have_to_be_aggregated() -> None:
    with pytest.raises(Invalid, match="2 series") as err:
        read_answer(200, answer(series("1", "2")))
    assert "sum" in err.value.hint


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_what_cannot_be_scaled_by_is_no_answer(value: str) -> None:
    with pytest.raises(Unavailable):
        read_answer(200, answer(series(value)))


def test_no_series_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="no series"):
        read_answer(200, answer([]))


def test_a_range_is_not_a_number() -> None:
    with pytest.raises(Invalid, match="matrix"):
        read_answer(200, answer([], "matrix"))


def test_a_refused_query_says_what_prometheus_says() -> None:
    body = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"})
    with pytest.raises(Invalid, match="parse error"):
        read_answer(400, body.encode())
    with pytest.raises(Unavailable, match="parse error"):
        read_answer(503, body.encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status": 3}'])
def test_what_is_not_an_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Unavailable, match="no JSON"):
        read_answer(502, body)


def test_malformed_results_are_no_answer() -> None:
    with pytest.raises(Unavailable):
        read_answer(200, answer({"a": 1}))
    with pytest.raises(Unavailable):
        read_answer(200, answer(series("seven")))
