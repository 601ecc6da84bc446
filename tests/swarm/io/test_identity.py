from pathlib import Path

import pytest

from swarm.errors import Refused
from swarm.io.identity import IdentityFiles
from swarm.io.private import write_private
from tests.trust import Swarm

NOW = 1_800_000_000.0


def test_a_fresh_node_has_no_identity(tmp_path: Path) -> None:
    files = IdentityFiles(tmp_path / "certificates")

    assert files.load() is None
    with pytest.raises(Refused, match="no certificate"):
        files.current()
    files.forget()


def test_an_identity_is_installed_whole(tmp_path: Path) -> None:
    files, identity = IdentityFiles(tmp_path), Swarm(NOW).node()

    files.install(identity)

    assert IdentityFiles(tmp_path).load() == identity
    assert files.root.read_bytes() == identity.root
    assert b"PRIVATE" not in files.root.read_bytes()
    assert files.bundle.stat().st_mode & 0o777 == 0o600


def test_other_processes_see_a_renewal_without_being_told(tmp_path: Path) -> None:
    swarm = Swarm(NOW)
    writer, reader = IdentityFiles(tmp_path), IdentityFiles(tmp_path)
    old, new = swarm.node(), swarm.node()

    writer.install(old)
    first = reader.current()
    assert reader.current() is first
    writer.install(new)

    assert first == old
    assert reader.current() == new


def test_a_crash_between_any_two_writes_leaves_an_identity_that_works(tmp_path: Path) -> None:
    """Replays each prefix of an installation: root, temporary file, rename."""
    swarm = Swarm(NOW)
    old, new = swarm.node(), swarm.node()

    for stop in range(3):
        files = IdentityFiles(tmp_path / str(stop))
        files.install(old)
        if stop >= 1:
            write_private(files.root, new.root)
        if stop >= 2:
            files.bundle.with_name(".node.pem.new").write_bytes(new.bundle[:100])
        assert files.load() == old
        files.install(new)
        assert files.load() == new


def test_the_joining_key_stays_until_the_first_renewal(tmp_path: Path) -> None:
    swarm, files = Swarm(NOW), IdentityFiles(tmp_path)
    joined = swarm.node()
    write_private(files.pending, joined.key)

    files.install(joined)
    assert files.pending.exists()
    files.install(swarm.node())

    assert not files.pending.exists()


def test_leaving_removes_every_trace(tmp_path: Path) -> None:
    swarm, files = Swarm(NOW), IdentityFiles(tmp_path)
    files.install(swarm.node())
    write_private(files.pending, b"x")
    files.current()

    files.forget()

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Refused):
        files.current()


def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    files = IdentityFiles(tmp_path)
    files.install(Swarm(NOW).node())
    files.bundle.write_bytes(files.bundle.read_bytes()[:500])

    with pytest.raises(Refused) as caught:
        files.current()

    assert "join again" in caught.value.hint
