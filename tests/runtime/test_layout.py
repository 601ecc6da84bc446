from runtime.layout import ContainerDir, unclaimed_by, unclaimed_dir


def test_an_unclaimed_directory_names_its_process() -> None:
    name = unclaimed_dir("/run/swarmd/", 42).rpartition("/")[2]

    assert ContainerDir("/run/swarmd/", "a.b-1").path == "/run/swarmd/containers/a.b-1"
    assert unclaimed_by(name) == 42
    assert unclaimed_by("a.b-1") == 0
    assert unclaimed_by(".odd") == -1
