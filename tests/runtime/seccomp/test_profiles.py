"""Profiles in Docker's format, and what they mean on this or that host."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.oci.config import Seccomp
from runtime.seccomp.default import default_profile
from runtime.seccomp.profiles import filter_for, problems, read_profile, resolve, surroundings
from swarm.errors import Invalid
from tests.runtime.oci.test_reading import JSON

HERE = surroundings(("CAP_CHOWN", "CAP_KILL"), "x86_64", "6.1.0-18-amd64")
ARM = surroundings((), "aarch64", "4.4.0")


def profile(*rules: dict[str, Any], **properties: Any) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules)} | properties)


def rule(*names: str, **properties: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW"} | properties


def names_of(seccomp: Seccomp) -> list[str]:
    return [name for each in seccomp.syscalls for name in each.names]


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        read_profile(text)
    return caught.value.problems


def test_default_and_unconfined_are_words_of_their_own() -> None:
    made = default_profile(HERE.capabilities, machine="x86_64", kernel=(6, 1))

    assert filter_for("default", HERE) == made
    assert filter_for("unconfined", HERE) is None


@pytest.mark.parametrize(
    ("conditions", "here", "arm"),
    [
        ({}, True, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True, False),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False, False),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True, False),
        ({"includes": {"arches": ["arm64"]}}, False, True),
        ({"excludes": {"arches": ["arm64"]}}, True, False),
        ({"includes": {"minKernel": "4.8"}}, True, False),
        ({"excludes": {"minKernel": "4.8"}}, False, True),
        ({"includes": {"minKernel": "6.1"}}, True, False),
        ({"includes": {"minKernel": "6.10"}}, False, False),
        ({"includes": None, "excludes": {}}, True, True),
        ({"includes": {"arches": ["amd64"]}, "excludes": {"caps": ["CAP_KILL"]}}, False, False),
    ],
)  # fmt: skip
def test_a_rule_counts_where_all_its_conditions_hold(
    conditions: dict[str, Any], here: bool, arm: bool
) -> None:
    read = read_profile(profile(rule("ptrace", **conditions)))

    assert bool(resolve(read, HERE).syscalls) is here
    assert bool(resolve(read, ARM).syscalls) is arm


def test_the_map_of_architectures_says_whose_programs_run_here_too() -> None:
    text = profile(
        archMap=[
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            },
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
        ]
    )

    assert resolve(read_profile(text), HERE).architectures == (
        "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
    )  # fmt: skip
    assert resolve(read_profile(text), ARM).architectures == ("SCMP_ARCH_AARCH64",)


def test_old_ways_of_writing_names_and_errors_are_understood() -> None:
    text = profile(
        {"name": "getpid", "action": "SCMP_ACT_ERRNO", "errno": "EACCES"},
        defaultErrno="ENOSYS",
    )

    made = resolve(read_profile(text), HERE)

    assert (names_of(made), made.syscalls[0].errno_ret) == (["getpid"], 13)
    assert made.default_errno_ret == 38


def test_a_plain_oci_filter_is_a_profile_without_conditions() -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "x",
            "syscalls": [
                rule("mkdir", action="SCMP_ACT_NOTIFY"),
                rule(
                    "kill",
                    action="SCMP_ACT_ERRNO",
                    errnoRet=5,
                    args=[{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}],
                ),
            ],
        }
    )

    made = filter_for(text, HERE)

    assert made is not None
    assert made.architectures == ("SCMP_ARCH_X86_64",)
    assert (made.listener_path, made.listener_metadata) == ("/run/agent.sock", "x")
    assert made.flags == ("SECCOMP_FILTER_FLAG_LOG",)
    assert (made.syscalls[1].errno_ret, made.syscalls[1].args[0].value) == (5, 9)


def test_everything_that_is_wrong_with_a_profile_is_told_at_once() -> None:
    text = profile(
        rule("kill", action="ALLOW"),
        rule("kill", name="kill"),
        {"action": "SCMP_ACT_ALLOW"},
        rule("kill", includes={"caps": ["CHOWN"], "minKernel": "six"}),
        rule("kill", errno="EX", excludes={"minKernel": "4.8.1"}),
        rule("kill", args=[{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]),
        rule("kill", args=[{"index": "1", "value": 1, "op": "SCMP_CMP_EQ"}]),
        architectures=["SCMP_ARCH_X86_64"],
        archMap=[{"architecture": "SCMP_ARCH_Z80"}],
        defaultErrno="EVIL",
    )

    found = problems_of(text)

    assert [each.partition(": ")[0] for each in found] == [
        "syscalls[6].args[0].index",
        "archMap",
        "archMap[0]",
        "defaultErrno",
        "syscalls[1]",
        "syscalls[2]",
        "syscalls[3].includes.caps[0]",
        "syscalls[3].includes.minKernel",
        "syscalls[4].errno",
        "syscalls[4].excludes.minKernel",
        "syscalls[5].args[0].index",
        "syscalls[0].action",
    ]


def test_a_text_that_is_no_profile_is_refused_in_a_sentence() -> None:
    for text in ("", "default.json", "[]", "{}"):
        with pytest.raises(Invalid, match="seccomp profile: "):
            filter_for(text, HERE)


def test_whoever_passes_a_profile_on_is_told_the_same_problems() -> None:
    assert problems("default") == problems("unconfined") == problems("") == ()
    assert problems('{"defaultAction": "SCMP_ACT_LOG"}') == ()
    with pytest.raises(Invalid) as caught:
        filter_for('{"defaultAction": "X", "flags": ["Y"]}', HERE)
    assert problems('{"defaultAction": "X", "flags": ["Y"]}') == caught.value.problems


@given(JSON, JSON)
def test_law_any_json_is_a_profile_or_refused(whole: Any, part: Any) -> None:
    for document in (whole, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": part}):
        try:
            resolve(read_profile(json.dumps(document)), HERE)
        except Invalid as refusal:
            assert refusal.problems  # noqa: PT017


@given(st.text(max_size=20))
def test_law_any_release_of_a_kernel_has_a_version(release: str) -> None:
    assert surroundings((), "x86_64", release).kernel >= (0, 0)
