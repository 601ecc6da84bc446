"""`--autoscale` is read, and a query keeps its own commas and colons."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Autoscale
from swarmctl.autoscaling import parse_autoscale


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("min=2,max=20,cpu=60", Autoscale(least=2, most=20, cpu_percent=60.0)),
        ("max=5,min=1,memory=75%", Autoscale(least=1, most=5, memory_percent=75.0)),
        (
            'min=1,max=9,prometheus=sum(rate(http_total{job="a,b",code=~"5.."}[5m])):100,'
            "up-window=30s,down-window=10m",
            Autoscale(
                least=1,
                most=9,
                query='sum(rate(http_total{job="a,b",code=~"5.."}[5m]))',
                target=100.0,
                up_window_s=30.0,
                down_window_s=600.0,
            ),
        ),
        (
            "prometheus=avg by (a, b) (job:rate5m):0.5,min=1,max=2",
            Autoscale(least=1, most=2, query="avg by (a, b) (job:rate5m)", target=0.5),
        ),
    ],
)
def test_a_wish_is_read(text: str, wish: Autoscale) -> None:
    assert parse_autoscale(text) == wish


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not KEY=VALUE"),
        ("min=1,max=2,cpu", "is not KEY=VALUE"),
        ("min=1,cpu=5", "has no max"),
        ("max=1,cpu=5", "has no min"),
        ("min=1,min=2,max=3", "given twice"),
        ("min=x,max=3", "not a count"),
        ("min=1,max=3,cpu=much", "not a number"),
        ("min=1,max=3,prometheus=up", "not QUERY:TARGET"),
        ("min=1,max=3,prometheus=sum(rate(x[1m]):10", "never closed"),
        ("min=1,max=3,prometheus=x{a='b}:10", "never closed"),
        ("min=1,max=3,load=4", "unknown key 'load'"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_autoscale(text)
