"""What a registry demands is understood, whatever the order of its commas."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.images.challenge import Challenge, Token, parse_challenges, parse_token, token_url
from swarm.images.credentials import Credentials, parse_registry_auth


def test_commas_inside_quotes_do_not_split() -> None:
    header = (
        'Bearer realm="https://auth.example/token",service="reg",scope="repository:a:pull,push"'
    )

    (challenge,) = parse_challenges(header)

    assert challenge.scheme == "bearer"
    assert challenge.parameters["scope"] == "repository:a:pull,push"


def test_several_challenges_in_one_header() -> None:
    header = 'Basic realm="x\\"y", Bearer realm=https://a/t , service="s"'

    basic, bearer = parse_challenges(header)

    assert basic == Challenge("basic", {"realm": 'x"y'})
    assert bearer == Challenge("bearer", {"realm": "https://a/t", "service": "s"})


@given(st.text())
def test_law_any_header_is_read_without_a_crash(header: str) -> None:
    assert all(challenge.scheme for challenge in parse_challenges(header))


def test_the_token_url_keeps_the_realms_own_query() -> None:
    challenge = Challenge("bearer", {"realm": "https://auth.example/t?k=v", "service": "reg"})

    url = token_url(challenge, scopes=("repository:a/b:pull",), secure=True)

    assert url == "https://auth.example/t?k=v&service=reg&scope=repository%3Aa%2Fb%3Apull"


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "/relative", "http://plain.example/t"])
def test_a_secure_registry_cannot_send_the_password_elsewhere_in_the_clear(realm: str) -> None:
    with pytest.raises(Invalid):
        token_url(Challenge("bearer", {"realm": realm}), scopes=("s",), secure=True)


def test_both_names_of_the_token_are_read() -> None:
    assert parse_token(b'{"token": "t", "expires_in": 300}') == Token("t", 300.0)
    assert parse_token(b'{"access_token": "t"}') == Token("t", 60.0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": ""}', b"\xff"])
def test_an_answer_without_token_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_token(body)


def test_passwords_are_never_shown() -> None:
    credentials = Credentials("me", "s3cret")

    assert "s3cret" not in f"{credentials} {credentials!r} {Token('s3cret', 1.0)!r}"


def test_registry_auth_reads_back() -> None:
    text = base64.urlsafe_b64encode(
        json.dumps({"username": "u", "password": "p"}).encode()
    ).decode()

    assert parse_registry_auth(text) == Credentials("u", "p")
    assert parse_registry_auth(text.rstrip("=")) == Credentials("u", "p")
    assert parse_registry_auth(base64.b64encode(b'{"auth": "dTpw"}').decode()) == Credentials(
        "u", "p"
    )


@pytest.mark.parametrize("text", ["", "e30=", "e30"])
def test_no_name_and_no_token_are_nobody(text: str) -> None:
    """Docker's client sends `{}` where it knows of no password."""
    assert parse_registry_auth(text) is None


def test_a_token_stands_for_a_password() -> None:
    text = base64.b64encode(b'{"identitytoken": "t"}').decode()

    found = parse_registry_auth(text)

    assert found == Credentials("", "", identity_token="t")
    assert not found.basic()


@pytest.mark.parametrize("text", ["hunter2", "!!", "é", "W10="])
def test_unreadable_registry_auth_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_registry_auth(text)

    assert text not in refusal.value.message
