import subprocess

import pytest

from runtime.command import helping
from runtime.command.table import COMMANDS, GLOBAL, Command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_names_every_flag(command: Command) -> None:
    text = helping.help_of(command)

    assert f"usage: swarm-runtime {command.name}" in text
    for flag in command.flags:
        assert f"--{flag.name}" in text
        assert flag.help in text


def test_the_overview_names_every_command_and_global_flag() -> None:
    text = helping.overview()

    assert all(f"\n  {each.name} " in text for each in COMMANDS)
    assert all(f"--{each.name}" in text for each in GLOBAL)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("swarm-runtime cr", "create"),
        ("swarm-runtime create --bu", "--bundle"),
        ("swarm-runtime --root /x kill --a", "--all"),
        ("swarm-runtime --log-format j", "json"),
        ("swarm-runtime list -f x --format ta", "table"),
        ("swarm-runtime completion ba", "bash"),
        ("swarm-runtime help upd", "update"),
    ],
)
def test_bash_completes(words: str, wanted: str) -> None:
    assert completions(words, "true") == [wanted]


def test_bash_completes_containers_below_the_given_root() -> None:
    found = completions("swarm-runtime --root /x kill c", 'echo "c-$*"')

    assert found == ["c---root", "/x"] or found == ["c---root"]


def completions(words: str, runtime: str) -> list[str]:
    split = words.split(" ")
    script = (
        f"{helping.bash()}\nswarm-runtime() {{ {runtime}; }}\n"
        f"COMP_WORDS=({words}); COMP_CWORD={len(split) - 1}\n"
        '_swarm_runtime; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()
