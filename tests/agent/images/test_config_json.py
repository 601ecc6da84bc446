"""The documents of images that are made here say what was asked, and what their parents said."""

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.images.config_json import encode_config
from swarm.images.config import ImageConfig, Step, parse_config, parse_history
from swarm.images.platform import Platform
from swarm.specs import Healthcheck

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
ONE, TWO = "sha256:" + "0" * 64, "sha256:" + "1" * 64


@given(
    st.builds(
        ImageConfig,
        entrypoint=st.lists(words).map(tuple),
        cmd=st.lists(words).map(tuple),
        env=st.lists(words).map(tuple),
        user=words,
        labels=st.dictionaries(words, words),
        volumes=st.sets(words).map(lambda found: tuple(sorted(found))),
        healthcheck=st.none()
        | st.builds(
            Healthcheck,
            test=st.just(("CMD-SHELL", "true")),
            interval_s=st.integers(0, 10**9).map(float),
            retries=st.integers(0, 9),
        ),
        shell_argv=st.lists(words).map(tuple),
        onbuild=st.lists(words).map(tuple),
        diff_ids=st.just((ONE,)),
        platform=st.just(Platform("linux", "arm64", "v8")),
        created_at=st.integers(0, 2**33).map(float),
        author=words,
    )
)
def test_law_a_config_reads_back_as_it_was_written(config: ImageConfig) -> None:
    assert parse_config(encode_config(config, steps=(Step(comment="imported"),))) == config


def test_a_parents_words_that_we_do_not_know_stay_and_its_own_affairs_do_not() -> None:
    parent = {
        "os.features": ["x"],
        "comment": "of the parent",
        "container": "abc",
        "config": {"ArgsEscaped": True, "Cmd": ["old"], "Env": ["A=1"]},
    }
    config = ImageConfig(cmd=("new",), diff_ids=(ONE,))

    document = json.loads(
        encode_config(config, steps=(Step(created_by="x"),), parent=json.dumps(parent).encode())
    )

    assert document["os.features"] == ["x"]
    assert document["config"] == {"ArgsEscaped": True, "Cmd": ["new"]}
    assert not {"comment", "container"} & document.keys()


def test_the_history_goes_on_from_the_parents_with_a_line_for_each_layer() -> None:
    """A parent that tells of none of its layers gets lines that say nothing."""
    told = {"history": [{"created_by": "FROM x"}, {"created_by": "ENV", "empty_layer": True}]}
    config = ImageConfig(diff_ids=(ONE, TWO))
    steps = (Step(created_by="RUN y", comment="c", created_at=5.0),)

    after_told = encode_config(config, steps=steps, parent=json.dumps(told).encode())
    after_silence = encode_config(config, steps=steps, parent=b"{}")

    lines = parse_history(after_told)
    assert [line.created_by for line in lines] == ["FROM x", "ENV", "RUN y"]
    assert lines[1].is_empty
    assert lines[2] == steps[0]
    assert [line.created_by for line in parse_history(after_silence)] == ["", "RUN y"]
