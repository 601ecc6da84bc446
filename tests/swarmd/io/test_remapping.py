"""What `--userns-remap` means on this very host, and that swarmd does not start without it."""

from pathlib import Path

import pytest

from runtime.oci.config import IdMapping
from swarm.errors import Refused
from swarmd.io import remapping
from swarmd.main import main


def test_nothing_is_remapped_unless_asked() -> None:
    assert remapping.resolve("") is None


def test_a_range_needs_no_file() -> None:
    found = remapping.resolve("1000000:65536")

    assert found is not None
    assert found.uids == (IdMapping(container_id=0, host_id=1000000, size=65536),)


def test_an_owner_is_found_by_name_and_by_number() -> None:
    lines = "nobody:300000:65536\n"

    by_name = remapping.resolve("nobody:nogroup", read=lambda _: lines + "nogroup:5:70000\n")
    by_number = remapping.resolve("65534:nogroup", read=lambda _: lines + "nogroup:5:70000\n")

    assert by_name == by_number
    assert by_name is not None
    assert (by_name.uids[0].host_id, by_name.gids[0].host_id) == (300000, 5)


def test_an_owner_without_ranges_is_refused_with_the_lines_to_add() -> None:
    with pytest.raises(Refused) as caught:
        remapping.resolve("no-such-user-here")

    assert "no-such-user-here:" in caught.value.hint


def test_swarmd_does_not_start_with_ids_that_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = ("--data-root", str(tmp_path / "data"), "--run-root", str(tmp_path / "run"))

    assert main([*roots, "--userns-remap", "no-such-user-here"]) == 1

    told = capsys.readouterr().err
    assert "swarmd: --userns-remap: /etc/subuid has no range for no-such-user-here" in told
    assert "hint: add no-such-user-here:" in told
    assert not list(tmp_path.iterdir())
