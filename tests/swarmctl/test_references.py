"""Secrets and configs are named short or long, and looked up before they are sent."""

import pytest

from swarm.errors import Invalid, Missing
from swarm.specs import FileReference
from swarmctl.references import parse_reference, with_ids


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("key", FileReference(name="key", target="key")),
        ("source=key", FileReference(name="key", target="key")),
        ("src=key,dst=/etc/k", FileReference(name="key", target="/etc/k")),
        (
            "source=key,target=k,uid=33,gid=44,mode=0440",
            FileReference(name="key", target="k", uid="33", gid="44", mode=0o440),
        ),
    ],
)
def test_a_reference_is_read(text: str, found: FileReference) -> None:
    assert parse_reference(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("target=x", "no source"),
        ("key,target=x", "not KEY=VALUE"),
        ("source=", "not KEY=VALUE"),
        ("source=a,source=b", "given twice"),
        ("source=a,mode=9", "octal"),
        ("source=a,size=9", "unknown key 'size'"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_reference(text)


def test_what_does_not_exist_is_refused_with_how_to_make_it() -> None:
    wanted = (parse_reference("key"), parse_reference("cert"))

    with pytest.raises(Missing, match="--secret: no such secret: cert") as caught:
        with_ids("--secret", wanted, {"key": "s1"}, kind="secret")

    assert "secret create cert" in caught.value.hint
    assert [each.id for each in with_ids("--secret", wanted[:1], {"key": "s1"}, kind="secret")] == [
        "s1"
    ]
