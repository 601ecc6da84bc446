"""Whatever a config.json holds: a config, or everything that is wrong with it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.oci.config import Config
from runtime.oci.reading import read_config, read_process, read_resources
from swarm.errors import Invalid
from tests.runtime.oci import bundles

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def problems_of(document: Any) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        read_config(json.dumps(document))
    return caught.value.problems


def test_a_file_that_says_everything_is_understood_to_the_last_property() -> None:
    document = bundles.full()

    read = read_config(json.dumps(document))

    assert without_defaults(json.loads(msgspec.json.encode(read))) == without_defaults(document)


def without_defaults(value: Any) -> Any:
    """Properties that hold what absence means are left out when a config is written again."""
    if isinstance(value, dict):
        kept = {name: without_defaults(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in ([], 0, "a", None)}
    return [without_defaults(each) for each in value] if isinstance(value, list) else value


def test_null_means_that_a_property_is_absent() -> None:
    document = bundles.process(capabilities=None, rlimits=None, user=None)
    document["hooks"] = None
    document["annotations"] = {"a": None}

    read = read_config(json.dumps(document))

    assert read.process is not None
    assert (read.process.capabilities, read.process.rlimits) == (None, ())
    assert read.annotations == {}


def test_unknown_properties_are_ignored_wherever_they_are() -> None:
    document = bundles.process(new={"a": [1]}) | {"windows": {"layerFolders": []}, "x": 1}

    assert read_config(json.dumps(document)).process is not None


def test_every_wrong_type_is_named_with_its_path_and_all_at_once() -> None:
    document = bundles.process(
        args="sh", rlimits=[{"type": 7, "soft": 1.5, "hard": "1"}, None], terminal=1
    )
    document["linux"]["namespaces"] = {"pid": {}}
    document["annotations"] = {"a": []}

    assert set(problems_of(document)) == {
        "process.args: must be an array, is a string",
        "process.rlimits[0].type: must be a string, is an integer",
        "process.rlimits[0].soft: must be an integer, is the number 1.5",
        "process.rlimits[0].hard: must be an integer, is a string",
        "process.rlimits[1]: must not be null",
        "process.terminal: must be true or false, is an integer",
        "linux.namespaces: must be an array, is an object",
        "annotations[a]: must be a string, is an array",
    }


def test_wrong_types_do_not_hide_wrong_values_elsewhere() -> None:
    document = bundles.process(args=1, cwd="here", oomScoreAdj=2000)

    assert problems_of(document) == (
        "process.args: must be an array, is an integer",
        "process.oomScoreAdj: must be between -1000 and 1000, is 2000",
        "process.cwd: must be an absolute path, is 'here'",
    )


def test_what_only_follows_from_a_value_that_could_not_be_read_is_not_reported() -> None:
    """Without readable namespaces nobody knows whether the host name may be set."""
    document = bundles.linux(namespaces=7) | {"hostname": "boxy"}

    assert problems_of(document) == ("linux.namespaces: must be an array, is an integer",)


def test_missing_properties_are_named() -> None:
    assert problems_of({}) == ("ociVersion: is missing", "root: is missing")
    assert problems_of(bundles.plain(root={})) == ("root.path: is missing",)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b"7", b'"x"', b"NaN", b"\xff\xfe", b'{"a": 1e999}',
        b"[" * 100_000, b'{"a":' * 100_000, b'{"ociVersion": "\\ud800"}', '{"a": "\udc80"}',
        b'{"ociVersion": "1.0.0", "process": {"oomScoreAdj": ' + b"9" * 5000 + b"}}",
        b" " * (16 * 1024 * 1024 + 1),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_config_at_all_is_refused_in_a_sentence(text: bytes | str) -> None:
    with pytest.raises(Invalid, match=r"^config\.json: "):
        read_config(text)


def test_the_last_of_properties_of_one_name_counts() -> None:
    whole = json.dumps(bundles.plain())

    assert read_config(whole[:-1] + ', "hostname": "a", "hostname": "b"}').hostname == "b"


def test_an_exec_and_an_update_read_their_files_the_same_way() -> None:
    assert read_process('{"args": ["ls"], "cwd": "/", "user": {"uid": 5}}').user.uid == 5
    assert read_resources('{"pids": {"limit": 5}, "cpu": null}').cpu is None

    with pytest.raises(Invalid, match=r"process: cwd: must be an absolute path"):
        read_process('{"args": ["ls"], "cwd": "x"}')
    with pytest.raises(Invalid, match=r"resources: memory\.limit: must be an integer"):
        read_resources('{"memory": {"limit": "1"}}')


@given(JSON)
def test_law_any_json_value_is_a_config_or_refused(document: Any) -> None:
    read_or_refuse(json.dumps(document))


@given(st.binary(max_size=200))
def test_law_any_bytes_are_a_config_or_refused(text: bytes) -> None:
    read_or_refuse(text)


@settings(max_examples=300)
@given(st.data())
def test_law_a_real_config_with_anything_anywhere_is_a_config_or_refused(data: Any) -> None:
    document = bundles.full()
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(document, data)

    read_or_refuse(json.dumps(document))


def mutate(document: Any, data: Any) -> None:
    """Walk to somewhere in the document and put another value there, or take one away."""
    while isinstance(document, dict | list) and document:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(document[key], dict | list) or data.draw(st.integers(0, 4)) == 0:
            if data.draw(st.booleans()):
                document[key] = data.draw(JSON)
            else:
                del document[key]
            return
        document = document[key]


def read_or_refuse(text: bytes | str) -> None:
    try:
        read = read_config(text)
    except Invalid:
        return
    again = msgspec.json.decode(msgspec.json.encode(read), type=Config)
    assert again == read
