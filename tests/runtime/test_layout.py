from runtime.layout import ContainerDir, unclaimed_by


def test_an_unclaimed_directory_names_its_shim() -> None:
    directory = ContainerDir("/run/swarmd/", "a.b-1")

    name = directory.unclaimed(42).rpartition("/")[2]

    assert directory.path == "/run/swarmd/containers/a.b-1"
    assert unclaimed_by(name) == 42
    assert unclaimed_by("a.b-1") == 0
    assert unclaimed_by(".odd") == -1
