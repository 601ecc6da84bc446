"""Keys: both sides derive the same, and nobody else does."""

from hypothesis import given
from hypothesis import strategies as st

from agent.network.encryption_keys import preshared_key, private_key, public_key

SECRETS = st.binary(min_size=32, max_size=32)


@given(SECRETS, SECRETS, SECRETS)
def test_law_both_sides_derive_the_same(secret: bytes, one: bytes, other: bytes) -> None:
    assert preshared_key(secret, one, other) == preshared_key(secret, other, one)
    assert len(preshared_key(secret, one, other)) == 32


@given(
    st.sets(st.tuples(SECRETS, st.frozensets(SECRETS, min_size=2, max_size=2)), max_size=8),
)
def test_law_other_pairs_and_other_secrets_have_other_keys(
    uses: set[tuple[bytes, frozenset[bytes]]],
) -> None:
    assert len({preshared_key(secret, *pair) for secret, pair in uses}) == len(uses)


@given(SECRETS)
def test_law_a_key_is_kept_by_the_kernel_as_it_was_made(random: bytes) -> None:
    key = private_key(random)

    assert private_key(key) == key
    assert public_key(key) == public_key(random)  # X25519 clamps whatever it is given


def test_public_keys_are_those_of_the_standard() -> None:
    """RFC 7748, section 5.2: one iteration."""
    known = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"

    assert public_key(bytes((9, *bytes(31)))) == bytes.fromhex(known)
