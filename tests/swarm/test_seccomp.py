"""Seccomp profiles are judged whole before they travel."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.seccomp import LARGEST_BYTES, named, problems, read_profile

GOOD = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": None, "comment": ""},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            "includes": {"minKernel": "4.8"},
            "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]},
        },
        {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}


def changed(**fields: object) -> str:
    return json.dumps(GOOD | fields)


def rule(**fields: object) -> str:
    return changed(syscalls=[{"names": ["read"], "action": "SCMP_ACT_ALLOW"} | fields])


def test_a_sound_profile_loses_only_its_white_space() -> None:
    text = read_profile(json.dumps(GOOD, indent=4).encode())

    assert json.loads(text) == GOOD
    assert problems(text) == ()
    assert "\n" not in text


def test_what_is_not_json_is_told_with_line_and_column() -> None:
    with pytest.raises(Invalid, match="line 2, column 3"):
        read_profile(b'{\n  defaultAction: "SCMP_ACT_ALLOW"}')


def test_what_is_not_text_is_told_with_its_byte() -> None:
    with pytest.raises(Invalid, match="at byte 1"):
        read_profile(b'"\xff"')


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("[]", "Expected `object`"),
        ("{}", "defaultAction"),
        (changed(defaultAction="ALLOW"), "SCMP_ACT_ALLOW"),
        (changed(defaultErrnoRet=5000), "4095"),
        (changed(architectures=["SCMP_ARCH_X86_64"]), "exclude each other"),
        (changed(flags=["NOW"]), "flags[0]"),
        (rule(action="DENY"), "syscalls[0].action"),
        (rule(names=[]), "syscalls[0].names"),
        (rule(name="read"), "exclude each other"),
        (rule(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]), "args[0].index"),
        (rule(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]), "args[0].value"),
        (rule(args=[{"index": 0, "value": 1, "op": "=="}]), "args[0].op"),
        (rule(includes={"caps": ["CAP_FLY"]}), "includes.caps[0]"),
        (rule(excludes={"minKernel": "new"}), "excludes.minKernel"),
        (changed(comment="x" * LARGEST_BYTES), "128 KiB"),
    ],
)
def test_every_problem_says_where_it_is(profile: str, words: str) -> None:
    assert any(words in each for each in problems(profile)), problems(profile)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read_profile(changed(defaultAction="A", flags=["B"]).encode())

    assert len(caught.value.problems) == 2


def test_a_profile_is_named_by_its_digest_and_everything_else_by_itself() -> None:
    assert named("") == ""
    assert named("unconfined") == "unconfined"
    assert named("{}").startswith("sha256:44136fa355b3")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_law_any_file_is_read_or_refused(content: bytes) -> None:
    try:
        text = read_profile(content)
    except Invalid:
        return
    assert problems(text) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.sampled_from((*GOOD, "flags", "architectures")), JSON)
def test_law_any_value_anywhere_is_judged_without_a_crash(name: str, value: object) -> None:
    problems(msgspec.json.encode(GOOD | {name: value}).decode())
