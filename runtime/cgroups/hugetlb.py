"""Limit huge pages by their size, those in use and those only reserved."""

from collections.abc import Iterator

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources

_UNLIMITED = 1 << 63  # what is not below it; the files hold no more


def v1(resources: Resources) -> Iterator[Setting]:
    """Kernels before 5.7 did not count reservations."""
    for each in resources.hugepage_limits:
        limit = str(each.limit) if each.limit < _UNLIMITED else "-1"
        name = f"hugetlb.{each.page_size}"
        yield Setting(f"{name}.limit_in_bytes", (limit,))
        yield Setting(f"{name}.rsvd.limit_in_bytes", (limit,), optional=True)


def v2(resources: Resources) -> Iterator[Setting]:
    """The same under other names."""
    for each in resources.hugepage_limits:
        limit = str(each.limit) if each.limit < _UNLIMITED else "max"
        name = f"hugetlb.{each.page_size}"
        yield Setting(f"{name}.max", (limit,))
        yield Setting(f"{name}.rsvd.max", (limit,), optional=True)
