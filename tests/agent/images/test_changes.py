"""Dockerfile instructions on an import mean what they mean in a Dockerfile."""

import pytest

from agent.images.changes import apply_changes
from swarm.errors import Invalid
from swarm.images.config import ImageConfig


def applied(*changes: str) -> ImageConfig:
    return apply_changes(ImageConfig(), changes)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
        ("cmd sleep 1", "cmd", ("/bin/sh", "-c", "sleep 1")),
        ('ENTRYPOINT ["/e"]', "entrypoint", ("/e",)),
        ("ENV A=1 B='x y'", "env", ("A=1", "B=x y")),
        ("ENV A the rest", "env", ("A=the rest",)),
        ('LABEL a="b c" d=e', "labels", {"a": "b c", "d": "e"}),
        ("EXPOSE 80 53/udp", "exposed_ports", ("53/udp", "80/tcp")),
        ("VOLUME /b /a", "volumes", ("/a", "/b")),
        ('VOLUME ["/data"]', "volumes", ("/data",)),
        ("WORKDIR /srv", "workdir", "/srv"),
        ("USER 1:2", "user", "1:2"),
        ("STOPSIGNAL SIGQUIT", "stop_signal", "SIGQUIT"),
        ("STOPSIGNAL SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
    ],
)
def test_instructions_mean_what_they_mean_in_a_dockerfile(
    change: str, field: str, value: object
) -> None:
    assert getattr(applied(change), field) == value


def test_later_changes_build_on_earlier_ones() -> None:
    found = applied("ENV A=1", "ENV A=2 B=3", "WORKDIR /a", "WORKDIR b")

    assert found.env == ("A=2", "B=3")
    assert found.workdir == "/a/b"


@pytest.mark.parametrize(
    "change",
    [
        "",
        "RUN true",
        "CMD",
        'CMD ["a"',
        "CMD [1]",
        "ENV",
        "ENV A",
        "ENV =x",
        "ENV A=1 'open",
        "LABEL a",
        "EXPOSE",
        "EXPOSE http",
        "EXPOSE 0",
        "EXPOSE 65536",
        "EXPOSE 80/icmp",
        "VOLUME relative",
        "WORKDIR",
        "USER",
        "STOPSIGNAL term now",
    ],
)
def test_a_change_that_cannot_be_read_is_refused(change: str) -> None:
    with pytest.raises(Invalid) as refusal:
        applied(change)

    assert refusal.value.message.startswith("change[0]")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        applied("RUN x", "CMD true", "EXPOSE y")

    assert len(refusal.value.problems) == 2
    assert "change[2] 'EXPOSE y'" in refusal.value.problems[1]
