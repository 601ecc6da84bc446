import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.command.parsing import parse
from runtime.command.table import COMMANDS
from swarm.errors import Invalid


def refusal_of(*words: str) -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse(list(words))
    return caught.value


def test_global_flags_come_before_the_command_and_its_own_after_it() -> None:
    words = "--root /r --log=/l --log-format json --debug create --bundle /b -preserve-fds 3 c1"

    line = parse(words.split())

    assert line.command is not None
    assert line.command.name == "create"
    assert line.globals.text("root") == "/r"
    assert line.globals.text("log") == "/l"
    assert line.globals.text("log-format") == "json"
    assert line.globals.is_on("debug")
    assert line.options.text("bundle") == "/b"
    assert line.options.number("preserve-fds") == 3
    assert line.arguments == ("c1",)


def test_what_is_not_given_is_the_default() -> None:
    line = parse(["create", "c1"])

    assert line.globals.text("root") == "/run/swarm-runtime"
    assert line.options.text("bundle") == "."
    assert not line.options.has("bundle")
    assert not line.options.is_on("no-pivot")


def test_flags_may_follow_arguments_where_these_are_not_passed_on() -> None:
    line = parse(["delete", "c1", "--force"])

    assert line.options.is_on("force")
    assert line.arguments == ("c1",)


def test_exec_leaves_the_flags_of_its_command_alone() -> None:
    words = "exec -t -e A=1 --env B=2 --user=5:6 c1 ls -t --env C=3 -- x"

    line = parse(words.split())

    assert line.options.is_on("tty")
    assert line.options.many("env") == ("A=1", "B=2")
    assert line.options.text("user") == "5:6"
    assert line.arguments == ("c1", "ls", "-t", "--env", "C=3", "--", "x")


def test_two_dashes_end_the_flags() -> None:
    assert parse(["kill", "--", "-odd", "KILL"]).arguments == ("-odd", "KILL")


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("0", False), ("FALSE", False)])
def test_a_switch_takes_a_value_after_an_equals_sign(value: str, wanted: bool) -> None:
    line = parse(["delete", f"--force={value}", "c1"])

    assert line.options.is_on("force") is wanted


def test_a_negative_number_is_a_value() -> None:
    assert parse(["update", "--memory-swap", "-1", "c1"]).options.number("memory-swap") == -1


def test_help_needs_no_arguments() -> None:
    assert parse(["create", "--help"]).options.is_on("help")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("frobnicate", 'no such command: "frobnicate"'),
        ("create --frob c1", "no such flag: --frob"),
        ("create --frob=3 c1", "no such flag: --frob"),
        ("create - c1", '"create" takes exactly 1 argument(s)'),
        ("create", '"create" takes exactly 1 argument(s)'),
        ("create a b", '"create" takes exactly 1 argument(s)'),
        ("kill", '"kill" takes at least 1 argument(s)'),
        ("kill a b c", '"kill" takes at most 2 argument(s)'),
        ("list c1", '"list" takes exactly 0 argument(s)'),
        ("create c1 --bundle", "--bundle: needs a value (DIR)"),
        ("create --preserve-fds x c1", '--preserve-fds: "x" is not a number'),
        ("create --preserve-fds ٣ c1", '--preserve-fds: "٣" is not a number'),
        ("delete --force=maybe c1", '--force: "maybe" is neither true nor false'),
        ("list --format xml", '--format: "xml" is none of table, json'),
    ],
)
def test_what_cannot_be_read_is_named(words: str, message: str) -> None:
    assert refusal_of(*words.split()).message == message


def test_a_mistyped_command_is_told_what_it_may_have_meant() -> None:
    assert "create" in refusal_of("craete").hint


def test_no_two_flags_of_a_command_share_a_name() -> None:
    for command in COMMANDS:
        names = [name for flag in command.flags for name in (flag.name, flag.short) if name]
        assert len(names) == len(set(names)), command.name
        assert "h" not in names
        assert "help" not in names


@given(st.lists(st.text(max_size=8) | st.sampled_from([c.name for c in COMMANDS]), max_size=6))
def test_law_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        line = parse(words)
    except Invalid:
        return
    assert line.command is None or line.command in COMMANDS
