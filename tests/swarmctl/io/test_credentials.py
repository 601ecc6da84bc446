"""The login that `docker login` left is found, and never shown."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from swarm.errors import Invalid
from swarm.images.credentials import Credentials, parse_registry_auth
from swarmctl.io.credentials import auth_for, given_login, registry_auth
from swarmctl.io.session import Session

LOGIN = b64encode(b"ann:pass:word").decode()


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("localhost:5000", "localhost:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://example.org", "example.org"),
    ],
)
def test_a_login_is_found_under_its_names(name: str, registry: str) -> None:
    content = json.dumps({"auths": {name: {"auth": LOGIN}}}).encode()

    found = parse_registry_auth(auth_for(content, registry, path="f"))

    assert found == Credentials("ann", "pass:word")


@pytest.mark.parametrize("content", [b"{}", b'{"auths": {"other": {"auth": "eDp5"}}}'])
def test_no_login_is_no_error(content: bytes) -> None:
    assert auth_for(content, "docker.io", path="f") == ""


@pytest.mark.parametrize("content", [b"x", b'{"auths": {"docker.io": {"auth": "s3cr\xc3\xa9t"}}}'])
def test_a_broken_file_is_named_without_its_secrets(content: bytes) -> None:
    with pytest.raises(Invalid, match="/f holds no readable login") as caught:
        auth_for(content, "docker.io", path="/f")

    assert "s3cr" not in f"{caught.value} {caught.value.hint}"


def test_the_file_is_looked_for_where_docker_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert registry_auth("localhost:5000/a") == ""

    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"localhost:5000": {"auth": LOGIN}}})
    )

    assert parse_registry_auth(registry_auth("localhost:5000/a")) is not None
    assert registry_auth("busybox") == registry_auth("") == ""


def test_who_has_no_login_to_give_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auths = {"localhost:5000": {"auth": LOGIN}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    session = Session("unix:///nowhere")

    assert given_login(session, "localhost:5000/a") == registry_auth("localhost:5000/a")
    assert capsys.readouterr().err == ""
    assert given_login(session, "busybox") == ""
    said = f"Warning: {tmp_path}/config.json has no login for docker.io: nodes pull as they did\n"
    assert capsys.readouterr().err == said
