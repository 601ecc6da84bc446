import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import constants as k
from runtime.oci.names import MOUNT_EXTENSIONS, MOUNT_FLAGS, PROPAGATION, RECURSIVE_ATTRIBUTES
from runtime.planning.options import parse
from runtime.steps import Attributes

KNOWN = sorted({*MOUNT_FLAGS, *PROPAGATION, *RECURSIVE_ATTRIBUTES, *MOUNT_EXTENSIONS})


def test_options_are_taken_apart_by_what_they_are_about() -> None:
    asked = parse(("rbind", "ro", "sync", "rslave", "rnoexec", "idmap", "tmpcopyup", "size=1k"))

    assert (asked.is_bind, asked.is_recursive, asked.copies_up) == (True, True, True)
    assert asked.flags == k.MS_SYNCHRONOUS
    assert asked.attributes == Attributes(
        set=k.MOUNT_ATTR_RDONLY, recursive_set=k.MOUNT_ATTR_NOEXEC
    )
    assert asked.propagation == (k.MS_SLAVE | k.MS_REC,)
    assert (asked.translate, asked.data) == ("idmap", ("size=1k",))


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        (("ro", "rw"), Attributes(clear=k.MOUNT_ATTR_RDONLY)),
        (("rw", "ro"), Attributes(set=k.MOUNT_ATTR_RDONLY)),
        (("noatime",), Attributes(set=k.MOUNT_ATTR_NOATIME, clear=k.MOUNT_ATTR_ATIME)),
        (("noatime", "relatime"), Attributes(clear=k.MOUNT_ATTR_ATIME)),
        (
            ("noatime", "strictatime"),
            Attributes(set=k.MOUNT_ATTR_STRICTATIME, clear=k.MOUNT_ATTR_ATIME),
        ),
        (("rro", "rrw"), Attributes(recursive_clear=k.MOUNT_ATTR_RDONLY)),
        (("defaults",), Attributes()),
    ],
)
def test_the_last_word_counts(options: tuple[str, ...], attributes: Attributes) -> None:
    assert parse(options).attributes == attributes


@given(st.lists(st.sampled_from(KNOWN), max_size=8).map(tuple))
def test_law_the_kernel_takes_every_combination(options: tuple[str, ...]) -> None:
    """mount_setattr(2) refuses to set what it clears, but for access times: all or none of them."""
    asked = parse(options).attributes

    for wanted, clear in (
        (asked.set, asked.clear), (asked.recursive_set, asked.recursive_clear)
    ):  # fmt: skip
        assert not wanted & clear & ~k.MOUNT_ATTR_ATIME
        assert clear & k.MOUNT_ATTR_ATIME in (0, k.MOUNT_ATTR_ATIME)
        assert not wanted & k.MOUNT_ATTR_ATIME or clear & k.MOUNT_ATTR_ATIME
        assert wanted & k.MOUNT_ATTR_ATIME in (0, k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR_STRICTATIME)
    assert parse(options).data == ()


@given(st.lists(st.text(min_size=1), max_size=4).map(tuple))
def test_law_what_nobody_knows_is_for_the_file_system(options: tuple[str, ...]) -> None:
    unknown = tuple(option for option in options if option not in KNOWN)

    assert parse(options).data == unknown
