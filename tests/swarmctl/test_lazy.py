"""Help costs no imports, and switches take values."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmctl.catalog import ALIASES, ROOT, Branch, Leaf
from swarmctl.lazy import load, rewritten

PARAMS: list[click.Parameter] = [
    click.Option(["-d", "--detach/--no-detach"]),
    click.Option(["--force"], is_flag=True),
    click.Option(["-n", "--name"]),
]


def leaves(branch: Branch) -> Iterator[tuple[str, Leaf]]:
    for name, entry in branch.children.items():
        if isinstance(entry, Leaf):
            yield name, entry
        else:
            yield from leaves(entry)


@pytest.mark.parametrize(("name", "leaf"), list(leaves(ROOT)))
def test_every_command_of_the_catalog_exists(name: str, leaf: Leaf) -> None:
    command = load(leaf)

    assert command.name == name
    assert command.help


def test_aliases_lead_somewhere() -> None:
    names = {name for name, _ in leaves(ROOT)}

    assert set(ALIASES.values()) <= names
    assert not set(ALIASES) & names


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--detach=true", "x"], ["--detach", "x"]),
        (["--detach=false"], ["--no-detach"]),
        (["-d", "--force=1"], ["-d", "--force"]),
        (["--force=false"], []),
        (["--name", "--detach=false"], ["--name", "--detach=false"]),
        (["--name=x", "--detach=0"], ["--name=x", "--no-detach"]),
        (["x", "--detach=false"], ["x", "--detach=false"]),
        (["--", "--detach=false"], ["--", "--detach=false"]),
    ],
)
def test_a_switch_takes_a_value_up_to_the_containers_words(
    args: list[str], expected: list[str]
) -> None:
    assert rewritten(PARAMS, args, False) == expected


def test_switches_anywhere_take_a_value_where_words_may_be_mixed() -> None:
    assert rewritten(PARAMS, ["x", "--detach=false"], True) == ["x", "--no-detach"]


def test_a_switch_with_nonsense_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'maybe' is neither true nor false"):
        rewritten(PARAMS, ["--detach=maybe"], True)


@given(st.lists(st.sampled_from(["-d", "--name", "--name=a", "x", "--", "--other=true", "-n"])))
def test_law_what_has_no_switch_with_a_value_is_left_alone(args: list[str]) -> None:
    assert rewritten(PARAMS, args, True) == args
    assert rewritten(PARAMS, args, False) == args


@pytest.mark.parametrize(
    ("words", "banned"),
    [
        ("--help", "msgspec google grpc h2 hpack asyncio json ssl numpy cryptography structlog"),
        ("service --help", "msgspec google grpc h2 asyncio ssl numpy cryptography structlog"),
        ("service create --help", "google grpc h2 asyncio ssl numpy cryptography structlog"),
        ("-H unix:///none service ls", "grpc asyncio ssl numpy cryptography structlog"),
        (
            "-H unix:///nonexistent service create x",
            "grpc asyncio ssl numpy cryptography structlog",
        ),
    ],
)
def test_a_command_imports_only_what_it_needs(words: str, banned: str) -> None:
    code = (
        "import sys; from swarmctl.main import run; run(sys.argv[1:]);"
        "print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=True
    )

    assert set(ran.stderr.splitlines()[-1].split()) & set(banned.split()) == set()
