"""Names of the kernel's things, against what this machine calls them."""

import resource

import pytest

from runtime.oci import names


@pytest.mark.parametrize(
    ("written", "name", "file"),
    [
        ("net.ipv4.ip_forward", "net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x", "net/ipv4/conf/eth0.1/x"),
        ("net.ipv4.conf.eth0/1.x", "net.ipv4.conf.eth0/1.x", "net/ipv4/conf/eth0.1/x"),
        ("plain", "plain", "plain"),
    ],
)
def test_the_first_separator_of_a_kernel_parameter_separates(
    written: str, name: str, file: str
) -> None:
    assert names.dotted(written) == name
    assert names.sysctl_file(written) == file


def test_limits_have_the_numbers_that_python_knows_them_by() -> None:
    for name, number in names.RLIMITS.items():
        assert getattr(resource, name, number) == number


def test_an_option_means_one_thing() -> None:
    tables = (
        names.MOUNT_FLAGS, names.PROPAGATION, names.RECURSIVE_ATTRIBUTES, names.MOUNT_EXTENSIONS,
    )  # fmt: skip

    assert sum(map(len, tables)) == len(set().union(*tables))


def test_an_option_and_its_opposite_are_about_the_same_flag() -> None:
    for option, (is_set, flag) in names.MOUNT_FLAGS.items():
        opposite = names.MOUNT_FLAGS.get(f"no{option}")
        assert opposite in (None, (not is_set, flag))
    for option, (added, removed) in names.RECURSIVE_ATTRIBUTES.items():
        if f"rno{option[1:]}" in names.RECURSIVE_ATTRIBUTES and "atime" not in option:
            assert names.RECURSIVE_ATTRIBUTES[f"rno{option[1:]}"] == (removed, added)
