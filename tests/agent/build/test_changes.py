"""Instructions on imports and commits mean what they mean in a Dockerfile."""

import pytest

from agent.build.changes import changed
from agent.build.image import RunConfig
from swarm.errors import Invalid


def applied(*changes: str, run: RunConfig | None = None) -> RunConfig:
    return changed(run or RunConfig(), changes)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
        ("cmd sleep 1", "cmd", ("/bin/sh", "-c", "sleep 1")),
        ('ENTRYPOINT ["/e"]', "entrypoint", ("/e",)),
        ("ENV A=1 B='x y'", "env", ("A=1", "B=x y")),
        ("ENV A the rest", "env", ("A=the rest",)),
        ('LABEL a="b c" d=e', "labels", {"a": "b c", "d": "e"}),
        ("EXPOSE 80 53/udp", "exposed_ports", {"53/udp": {}, "80/tcp": {}}),
        ("VOLUME /b /a", "volumes", {"/a": {}, "/b": {}}),
        ('VOLUME ["/data"]', "volumes", {"/data": {}}),
        ("WORKDIR /srv", "working_dir", "/srv"),
        ("USER 1:2", "user", "1:2"),
        ("STOPSIGNAL SIGQUIT", "stop_signal", "SIGQUIT"),
        ("STOPSIGNAL SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
        ("ONBUILD RUN true", "on_build", ("RUN true",)),
    ],
)
def test_instructions_mean_what_they_mean_in_a_dockerfile(
    change: str, field: str, value: object
) -> None:
    assert getattr(applied(change), field) == value


def test_a_health_check_is_taken_and_taken_away() -> None:
    asked = applied("HEALTHCHECK --interval=5s CMD true").healthcheck

    assert asked is not None
    assert (asked.test, asked.interval) == (("CMD-SHELL", "true"), 5_000_000_000)
    none = applied("HEALTHCHECK NONE").healthcheck
    assert none is not None
    assert none.test == ("NONE",)


def test_later_changes_build_on_earlier_ones() -> None:
    found = applied("ENV A=1", "ENV A=2 B=$A", "WORKDIR /a", "WORKDIR b")

    assert found.env == ("A=2", "B=1")
    assert found.working_dir == "/a/b"


def test_an_entrypoint_takes_the_images_command_away_and_not_the_one_beside_it() -> None:
    image = RunConfig(cmd=("old",))

    assert applied('ENTRYPOINT ["/e"]', run=image).cmd is None
    assert applied('CMD ["new"]', 'ENTRYPOINT ["/e"]', run=image).cmd == ("new",)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("", "cannot be empty"),
        ("RUN true", "run is not a valid change command"),
        ("FROM x", "from is not a valid change command"),
        ('SHELL ["a"]', "shell is not a valid change command"),
        ("ENV A=1\nENV B=2", "a change is one instruction"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =x", "ENV names can not be blank"),
        ("LABEL a", ""),
        ("EXPOSE http", ""),
        ("EXPOSE 65536", ""),
        ("EXPOSE 80/icmp", ""),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL term now", ""),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change: str, part: str) -> None:
    with pytest.raises(Invalid) as refusal:
        applied(change)

    assert part in refusal.value.message
    assert "parse error" not in refusal.value.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        applied("RUN x", "CMD true", "EXPOSE y")

    assert len(refusal.value.problems) == 2
    assert "change[2] 'EXPOSE y'" in refusal.value.message
