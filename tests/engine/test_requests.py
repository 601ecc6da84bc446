"""What stands in a request besides its body: versions, routes, parameters, filters and times."""

import pytest

from engine import times, versions
from engine.filters import number, parse, selected, truth
from engine.heads import Head, parse_target
from engine.queries import Query
from engine.routing import Route, Router
from engine.versions import LATEST, Version
from swarm.errors import Invalid


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1.41/info", ("1.41", "/info")),
        ("/info", ("", "/info")),
        ("/v1.41", ("", "/v1.41")),
        ("/vx/info", ("", "/vx/info")),
        ("/volumes", ("", "/volumes")),
    ],
)
def test_a_path_may_begin_with_a_version(path: str, expected: tuple[str, str]) -> None:
    assert versions.split(path) == expected


def test_versions_between_the_least_and_the_latest_are_spoken() -> None:
    assert versions.judge("") == LATEST
    assert versions.judge("1.41") == Version(1, 41)
    for text in ("1.11", "1.48", "2.0", "0.9", ".", "1..4", "99999999999.1"):
        with pytest.raises(Invalid, match="client version"):
            versions.judge(text)


ROUTER = Router(
    (
        Route("GET", "/images/json", "list"),
        Route("GET", "/images/{name:path}/json", "inspect"),
        Route("GET", "/containers/{name}/json", "container"),
        Route("DELETE", "/images/{name:path}", "remove"),
    )
)


@pytest.mark.parametrize(
    ("method", "path", "handler", "params"),
    [
        ("GET", "/images/json", "list", {}),
        ("GET", "/images/a/b:1/json", "inspect", {"name": "a/b:1"}),
        ("GET", "/containers/x/json", "container", {"name": "x"}),
        ("DELETE", "/images/r:5/a/json", "remove", {"name": "r:5/a/json"}),
    ],
)
def test_a_route_is_found_with_what_stands_in_its_places(
    method: str, path: str, handler: str, params: dict[str, str]
) -> None:
    found = ROUTER.find(method, path)

    assert found is not None
    assert (found.route.handler, dict(found.params)) == (handler, params)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/json"), ("GET", "/containers/a/b/json"), ("GET", "/containers//json"),
        ("GET", ""), ("GET", "images/json"), ("GET", "/images/json/"),
    ],
)  # fmt: skip
def test_what_is_no_route_is_none(method: str, path: str) -> None:
    assert ROUTER.find(method, path) is None


def test_targets_are_paths_or_whole_addresses() -> None:
    assert parse_target("/a%2Fb?x=1#y") == ("/a/b", "x=1")
    assert parse_target("http://host:1/a?b=c") == ("/a", "b=c")
    assert parse_target("*") == ("/", "")


def test_a_head_tells_of_its_body_and_of_what_follows_it() -> None:
    head = Head(
        method="POST", path="/", headers={"connection": "keep-alive, Upgrade", "upgrade": "tcp"}
    )
    assert head.wants_upgrade
    assert not head.has_body
    assert Head(method="POST", path="/", headers={"content-length": "2"}).has_body
    assert Head(method="POST", path="/", headers={"transfer-encoding": "chunked"}).has_body


def test_switches_are_off_for_a_few_words_and_on_for_all_others() -> None:
    for text in ("", "0", "no", "False", " none "):
        assert not Query(f"x={text}").flag("x", default=True)
    for text in ("1", "true", "yes", "on", "whatever"):
        assert Query(f"x={text}").flag("x")
    assert Query("").flag("x", default=True)


def test_numbers_are_whole_and_of_64_bits() -> None:
    assert Query("t=-5").integer("t") == -5
    assert Query("t=").integer("t", 7) == 7
    for text in ("x", "1.5", "1_0", "9" * 20, "٣"):
        with pytest.raises(Invalid, match="t: "):
            Query(f"t={text}").integer("t")


def test_filters_are_lists_or_switches_of_old() -> None:
    assert parse('{"label":["a","b","a"],"x":{"y":true,"z":false},"n":null}') == {
        "label": ("a", "b"), "x": ("y",), "n": (),
    }  # fmt: skip
    for text in ("x", "[]", '{"a":1}', '{"a":["b"', "\udcff"):
        with pytest.raises(Invalid, match="invalid filter"):
            parse(text)


def test_values_of_a_filter_are_alternatives_and_filters_are_not() -> None:
    tests = {"has": lambda thing, text: text in thing, "is": lambda thing, text: thing == text}

    assert selected(["ab", "bc", "c"], {"has": ("a", "b"), "is": ()}, tests) == ["ab", "bc"]
    assert selected(["ab", "bc"], {"has": ("b",), "is": ("bc",)}, tests) == ["bc"]
    with pytest.raises(Invalid, match="invalid filter 'nope'"):
        selected([], {"nope": ()}, tests)


def test_truth_and_numbers_of_filters() -> None:
    assert truth({}, "x") is None
    assert truth({"x": ("TRUE", "1")}, "x") is True
    assert truth({"x": ("0",)}, "x") is False
    for values in (("yes",), ("1", "0"), ()):
        with pytest.raises(Invalid):
            truth({"x": values}, "x")
    assert number({"x": ("12",)}, "x") == 12
    with pytest.raises(Invalid):
        number({"x": ("1", "2")}, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("1700000000", 1.7e9),
        ("1700000000.25", 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1.7e9),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000.5),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000.123456789),
        ("2023-11-14", 1_699_920_000.0),
        ("10m", 400.0),
        ("1h30m", 1000.0 - 5400.0),
    ],
)
def test_moments_in_all_their_writings(text: str, expected: float) -> None:
    assert times.moment(text, now=1000.0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("text", ["x", "12:00", "1e5", "-", "9" * 30, "10"[:0] + "-5x"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="since: "):
        times.moment(text, now=0, name="since")


def test_moments_are_written_as_go_does() -> None:
    assert times.stamp(0) == "0001-01-01T00:00:00Z"
    assert times.stamp(1_700_000_000) == "2023-11-14T22:13:20Z"
    assert times.stamp(1_700_000_000.5) == "2023-11-14T22:13:20.5Z"
    assert times.log_stamp(1_700_000_000) == "2023-11-14T22:13:20.000000000Z"
