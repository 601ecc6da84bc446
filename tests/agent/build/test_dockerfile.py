import pytest

from agent.build.dockerfile import needed_stages, parse, target_stage
from agent.build.instructions import Check, Cmd, Command, Copy, Env, Run
from swarm.errors import Invalid

STAGES = """
FROM a AS base
FROM b
FROM base AS build
COPY --from=1 /x /x
FROM c AS tools
FROM scratch
COPY --from=build /x /x
RUN --mount=type=bind,from=tools,target=/t true
"""


def names(text: str, target: str = "") -> list[int]:
    return [stage.number for stage in needed_stages(parse(text), target)]


def test_only_stages_that_lead_to_the_target_are_needed() -> None:
    assert names(STAGES) == [0, 1, 2, 3, 4]
    assert names(STAGES, "build") == [0, 1, 2]
    assert names(STAGES, "TOOLS") == [3]
    assert names(STAGES, "0") == [0]


def test_a_name_that_is_filled_in_may_mean_any_stage() -> None:
    assert names("ARG X\nFROM a\nFROM b\nFROM $X\n") == [0, 1, 2]


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match='target stage "x" could not be found') as caught:
        target_stage(parse(STAGES), "x")
    assert caught.value.hint == "the stages are base, 1, build, tools, 4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nNONSENSE x\n", "dockerfile parse error line 2: unknown instruction: NONSENSE"),
        ("RUN x\n", "line 1: no build stage in current context"),
        ("ARG A\n", "has no FROM"),
        ("FROM a b\n", "FROM requires either one or three arguments"),
        ("FROM a AS 1x\n", "invalid name for build stage"),
        ("FROM a AS x\nFROM b AS X\n", "line 2: x stage name already used"),
        ("FROM a\nCOPY x\n", "COPY requires at least two arguments, but only one was provided"),
        ("FROM a\nCOPY --form=x a b\n", r"unknown flag: --form \(did you mean from\?\)"),
        ("FROM a\nCOPY --from=x --from=y a b\n", "duplicate flag specified: --from"),
        ("FROM a\nCOPY --link=maybe a b\n", "expecting boolean value for flag --link"),
        ("FROM a\nCOPY a <<EOF\nEOF\n", "cannot accept a heredoc as a destination"),
        ("FROM a\nRUN\n", "RUN requires at least one argument"),
        ("FROM a\nRUN --security=insecure x\n", "RUN --security is not supported"),
        ("FROM a\nRUN --mount=type=ssh x\n", "type=ssh"),
        ("FROM a\nRUN --mount=type=cache x\n", "target is required"),
        ("FROM a\nRUN --mount=type=bind,target=/x,id=y x\n", "unexpected key 'id'"),
        ("FROM a\nENV A\n", "ENV must have two arguments"),
        ("FROM a\nENV A=1 B\n", 'can\'t find = in "B"'),
        ("FROM a\nLABEL =x\n", "LABEL names can not be blank"),
        ("FROM a\nUSER\n", "USER requires exactly one argument"),
        ('FROM a\nVOLUME [""]\n', "VOLUME specified can not be an empty string"),
        ("FROM a\nSHELL sh -c\n", "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nCMD [1]\n", "comprised of strings only"),
        ("FROM a\nHEALTHCHECK X y\n", 'Unknown type "X" in HEALTHCHECK'),
        ("FROM a\nHEALTHCHECK CMD\n", "Missing command after HEALTHCHECK CMD"),
        ("FROM a\nHEALTHCHECK --interval=1x CMD y\n", 'invalid duration "1x"'),
        ("FROM a\nHEALTHCHECK NONE x\n", "HEALTHCHECK NONE takes no arguments"),
        ("FROM a\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nONBUILD ONBUILD x\n", "Chaining ONBUILD"),
    ],
)
def test_what_is_wrong_is_said_in_docker_s_words(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse(text)


def test_instructions_are_read_with_their_forms() -> None:
    text = """FROM a
ENV A=1 B="x y"
ENV old form  here
cmd ["a", "b c"]
CMD [not json
COPY --chown=1:2 --chmod=755 --link --exclude=x --exclude=y ["a b", "c"]
HEALTHCHECK --interval=1m30s --retries=2 CMD wget x
RUN --mount=type=cache,target=$X a
"""
    (stage,) = parse(text).stages
    env, old, words, line, copy, check, run = stage.steps

    assert isinstance(env, Env)
    assert isinstance(old, Env)
    assert env.pairs == (("A", "1"), ("B", '"x y"'))
    assert old.pairs == (("old", "form  here"),)
    assert isinstance(words, Cmd)
    assert isinstance(line, Cmd)
    assert words.command == Command(words=("a", "b c"), is_shell=False)
    assert line.command == Command(words=("[not json",), is_shell=True)
    assert isinstance(copy, Copy)
    assert (copy.sources, copy.target, copy.is_linked) == (("a b",), "c", True)
    assert (copy.owner, copy.mode, copy.excluded) == ("1:2", "755", ("x", "y"))
    assert isinstance(check, Check)
    assert check.healthcheck.test == ("CMD-SHELL", "wget x")
    assert (check.healthcheck.interval_s, check.healthcheck.retries) == (90.0, 2)
    assert isinstance(run, Run)
    assert run.mounts == ("type=cache,target=$X",)
