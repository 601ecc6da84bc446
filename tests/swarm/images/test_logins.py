import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.images.credentials import Credentials
from swarm.images.logins import pack_logins, parse_logins

TEXT = st.text(max_size=9)
LOGINS = st.dictionaries(TEXT, st.builds(Credentials, TEXT, TEXT, TEXT, TEXT), max_size=4)


@given(LOGINS)
def test_law_logins_are_read_as_they_were_written(logins: dict[str, Credentials]) -> None:
    assert parse_logins(pack_logins(logins)) == logins


def test_the_same_logins_are_the_same_bytes() -> None:
    one, other = Credentials("a", "b"), Credentials("c", "d")

    assert pack_logins({"x": one, "y": other}) == pack_logins({"y": other, "x": one})


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"r": "swordfish"}', b"\xff", b'{"r": {"username":']
)
def test_what_cannot_be_read_is_not_repeated(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        parse_logins(data)

    assert "swordfish" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
