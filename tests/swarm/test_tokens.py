import re
from hashlib import sha256
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.certificates import (
    is_issued_by,
    load_certificate,
    make_key,
    public_bytes,
    root_digest,
    validity,
)
from swarm.errors import Invalid
from swarm.tokens import JoinToken, anchor_of, join_certificate, make_token, parse_token
from tests.trust import Swarm

NOW = 1_800_000_000.0
DIGESTS = st.binary(min_size=32, max_size=32)
GOLDEN = "5ec2d50ef8cfebd4a6629babb28a9cbf23c432274fbfafd0f782e7c0a1e36b36"
SECRETS = st.binary(min_size=16, max_size=16)


@given(DIGESTS, SECRETS)
def test_law_a_token_is_read_as_it_was_written(digest: bytes, secret: bytes) -> None:
    token = JoinToken(root_digest=digest, secret=secret)

    assert re.fullmatch(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", token.text)
    assert parse_token(f" {token.text}\n") == token


@given(st.text(max_size=100))
def test_law_whatever_is_typed_is_a_token_or_invalid(text: str) -> None:
    with pytest.raises(Invalid, match=r"^token: ") as caught:
        parse_token(text)

    assert "join-token" in caught.value.hint


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: "", "is empty"),
        (lambda text: "hello", "does not begin with SWMTKN-1-"),
        (lambda text: text.replace("SWMTKN-1", "SWMTKN-2"), "version"),
        (lambda text: text.rpartition("-")[0], "has 1 parts"),
        (lambda text: text[:-1], "secret has 24 characters, not 25"),
        (lambda text: text.replace("SWMTKN-1-", "SWMTKN-1-0"), "digest has 51 characters"),
        (lambda text: text[:-1] + "Q", "characters other than"),
        (lambda text: text[:-1] + "١", "characters other than"),
        (lambda text: text[:-25] + "z" * 25, "out of range"),
    ],
)
def test_a_mistyped_token_says_how_without_telling_the_secret(spoil, reason: str) -> None:
    text = make_token(bytes(32), Random(1)).text

    with pytest.raises(Invalid, match=reason) as caught:
        parse_token(spoil(text))

    assert text.rpartition("-")[2] not in str(caught.value)


def test_the_digest_is_that_of_the_roots_der() -> None:
    swarm = Swarm(NOW)
    der = swarm.anchors.root.public_bytes(serialization.Encoding.DER)

    assert parse_token(swarm.token()).root_digest == sha256(der).digest()
    assert root_digest(swarm.anchors.root) == sha256(der).digest()


@settings(max_examples=25)
@given(DIGESTS, SECRETS)
def test_law_both_sides_derive_the_same_anchor(digest: bytes, secret: bytes) -> None:
    token = JoinToken(root_digest=digest, secret=secret)
    joiner, manager = anchor_of(token), anchor_of(parse_token(token.text))
    leaf = load_certificate(join_certificate(joiner, make_key(Random(1)).public_key(), now=NOW))

    assert joiner.certificate.subject == manager.certificate.subject
    assert public_bytes(joiner.key.public_key()) == public_bytes(manager.key.public_key())
    assert is_issued_by(leaf, manager.certificate)


def test_one_secret_in_two_swarms_gives_unrelated_keys() -> None:
    secret = bytes(range(16))
    one = anchor_of(JoinToken(root_digest=bytes(32), secret=secret))
    two = anchor_of(JoinToken(root_digest=b"\1" * 32, secret=secret))

    assert public_bytes(one.key.public_key()) != public_bytes(two.key.public_key())
    assert one.certificate.subject != two.certificate.subject


def test_the_derivation_never_changes() -> None:
    """A token in an operator's notes must outlive an upgrade of half the swarm."""
    anchor = anchor_of(JoinToken(root_digest=bytes(range(32)), secret=bytes(range(16))))

    assert sha256(public_bytes(anchor.key.public_key())).hexdigest() == GOLDEN


def test_a_joiners_clock_may_be_a_day_off() -> None:
    anchor = anchor_of(make_token(bytes(32), Random(1)))
    leaf = join_certificate(anchor, make_key(Random(2)).public_key(), now=NOW)

    begins, ends = validity(load_certificate(leaf))

    assert (begins, ends) == (NOW - 86400, NOW + 86400)


def test_secrets_never_show_in_a_repr() -> None:
    token = make_token(bytes(32), Random(1))

    assert repr(token.secret) not in repr(token)
    assert "key=<hidden>" in repr(anchor_of(token))
