"""What a build is asked for in parameters, and how it is told."""

import base64
import json
from urllib.parse import urlencode

import pytest

from engine.builds.reading import read_build
from engine.builds.telling import Telling
from engine.queries import Query
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid


def read(header: str = "", **parameters: str) -> pb.BuildSpec:
    return read_build(Query(urlencode(parameters)), header)


def test_parameters_become_a_build() -> None:
    query = urlencode(
        [("t", "app"), ("t", "r:5000/app:2"), ("buildargs", '{"A":"1","B":null}'),
         ("labels", '{"x":"y"}'), ("cachefrom", '["a","b"]'), ("memory", "64"),
         ("extrahosts", "a:1.2.3.4,b:::1"), ("ulimits", '[{"Name":"nofile","Soft":1,"Hard":2}]'),
         ("networkmode", "default"), ("rm", "0"), ("nocache", "1")]
    )  # fmt: skip

    spec = read_build(Query(query), "")

    assert list(spec.tags) == ["docker.io/library/app:latest", "r:5000/app:2"]
    assert (dict(spec.args), list(spec.unset_args)) == ({"A": "1"}, ["B"])
    assert (dict(spec.labels), list(spec.cache_from)) == ({"x": "y"}, ["a", "b"])
    assert list(spec.extra_hosts) == ["a:1.2.3.4", "b:::1"]
    assert (spec.limits.memory_bytes, spec.limits.swap_bytes) == (64, 64)
    assert (spec.ulimits[0].name, spec.ulimits[0].hard) == ("nofile", 2)
    assert (spec.network_mode, spec.keep_intermediate, spec.no_cache) == ("", True, True)


def test_what_registries_are_told_comes_in_a_header() -> None:
    auths = {"r:5000": {"username": "me", "password": "secret", "serveraddress": "x"}}
    header = base64.urlsafe_b64encode(json.dumps(auths).encode()).decode()

    found = read(header).registry_auths["r:5000"]

    assert json.loads(base64.urlsafe_b64decode(found))["username"] == "me"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"version": "2"}, "there is no BuildKit here"), ({"outputs": "x"}, "outputs"),
        ({"t": "a@sha256:" + "0" * 64}, "digest"), ({"t": "UP"}, "lower case"),
        ({"buildargs": "[]"}, "buildargs"), ({"labels": '{"a":1}'}, "items"),
        ({"memory": "x"}, "memory"), ({"extrahosts": "x"}, "bad format for add-host"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_by_name(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(**parameters)


def test_the_images_id_comes_before_the_last_words() -> None:
    telling = Telling(quiet=False)
    said = [
        pb.BuildImageResponse(text="Step 1/1 : FROM x\n"),
        pb.BuildImageResponse(text="oh\n", is_error_output=True),
        pb.BuildImageResponse(layer="sha256:abc", status="done"),
        pb.BuildImageResponse(text="Successfully built abc\n"),
        pb.BuildImageResponse(text="Successfully tagged x\n"),
        pb.BuildImageResponse(image_id="sha256:abc"),
    ]

    lines = [line for each in said for line in telling.tell(each)]

    assert [line.get("stream") or line.get("aux") or line["status"] for line in lines] == [
        "Step 1/1 : FROM x\n", "\x1b[91moh\n\x1b[0m", "Pull complete", {"ID": "sha256:abc"},
        "Successfully built abc\n", "Successfully tagged x\n",
    ]  # fmt: skip


def test_a_program_that_says_the_last_words_is_not_the_end() -> None:
    telling = Telling(quiet=False)

    first = list(telling.tell(pb.BuildImageResponse(text="Successfully built wheel\n")))
    second = list(telling.tell(pb.BuildImageResponse(text="more\n")))

    assert first == []
    assert second == [{"stream": "Successfully built wheel\n"}, {"stream": "more\n"}]


def test_a_quiet_build_says_its_image_and_nothing_else() -> None:
    telling = Telling(quiet=True)

    assert list(telling.tell(pb.BuildImageResponse(image_id="sha256:abc"))) == [
        {"stream": "sha256:abc\n"}
    ]
