from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarm.errors import Invalid, Refused
from swarm.sealing import DataKey, make_data_key, parse_data_key, seal, unseal


@given(st.binary(max_size=200), st.text(max_size=20), st.integers())
def test_law_what_is_sealed_opens_for_its_purpose_only(
    plain: bytes, purpose: str, seed: int
) -> None:
    random = Random(seed)
    key = make_data_key(random)

    sealed = seal(key, plain, purpose=purpose, random=random)

    assert unseal(key, sealed, purpose=purpose) == plain
    with pytest.raises(Refused, match="damaged or was moved"):
        unseal(key, sealed, purpose=f"{purpose}x")


@given(st.binary(min_size=32, max_size=32))
def test_law_a_data_key_is_read_as_it_was_written(secret: bytes) -> None:
    key = DataKey(secret)

    assert parse_data_key(f"{key.text}\n") == key


@pytest.mark.parametrize(
    "text", ["", "SWMKEY-1-abc", "SWMKEY-1-" + "z" * 50, "SWMKEY-2-" + "0" * 50]
)
def test_a_damaged_data_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_data_key(text)

    assert not text or text not in str(caught.value)


def test_one_flipped_bit_is_noticed() -> None:
    random = Random(1)
    key = make_data_key(random)
    sealed = seal(key, b"a secret", purpose="p", random=random)

    for index in range(len(sealed.ciphertext)):
        text = bytearray(sealed.ciphertext)
        text[index] ^= 1
        with pytest.raises(Refused):
            unseal(key, replace(sealed, ciphertext=bytes(text)), purpose="p")


def test_another_data_key_is_named_and_not_shown() -> None:
    random = Random(1)
    one, two = make_data_key(random), make_data_key(random)
    sealed = seal(one, b"a secret", purpose="cluster/root-key", random=random)

    with pytest.raises(Refused, match=f"data key {one.id}, this manager has {two.id}"):
        unseal(two, sealed, purpose="cluster/root-key")

    assert repr(one) == f"DataKey({one.id})"
    assert one.text not in repr(one)
