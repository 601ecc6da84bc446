import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import steps as s
from runtime.io import host


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    """A container can nest directories until no path reaches the innermost."""
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("deep", dir_fd=here)
    at = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
    for _ in range(3000):
        os.mkdir("abcdefgh", dir_fd=at)
        inner = os.open("abcdefgh", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    os.close(here)

    host.remove_tree(str(tmp_path / "deep"))

    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(outside)
    (tmp_path / "top").symlink_to(outside)

    host.remove_tree(str(tree))
    host.remove_tree(str(tmp_path / "top"))

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").exists()


trees = st.recursive(
    st.none(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", ".removing-0", ".removing-1"]), inner),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_law_any_tree_is_removed_and_again_is_fine(tmp_path: Path, tree: object) -> None:
    def make(path: Path, what: object) -> None:
        if isinstance(what, dict):
            path.mkdir()
            for name, inner in what.items():
                make(path / name, inner)
        else:
            path.write_text("")

    make(tmp_path / "tree", tree)

    host.remove_tree(str(tmp_path / "tree"))
    host.remove_tree(str(tmp_path / "tree"))

    assert list(tmp_path.iterdir()) == []


def test_steps_are_applied_and_undone_and_undoing_bears_repeating(tmp_path: Path) -> None:
    steps = (
        s.MakeDir(f"{tmp_path}/a/b", owned=False),
        s.MakeDir(f"{tmp_path}/a/b/c"),
        s.WriteFile(f"{tmp_path}/a/b/c/f", "text", 0o640),
    )
    for step in (*steps, *steps):
        host.apply(step)
    assert (tmp_path / "a/b/c/f").read_text() == "text"
    assert (tmp_path / "a/b/c/f").stat().st_mode & 0o777 == 0o640

    for _ in range(2):
        host.revert(s.undo(steps))
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert list((tmp_path / "a").iterdir()) == []


def test_a_file_the_kernel_lacks_is_only_missed_when_it_must_be_there(tmp_path: Path) -> None:
    host.apply(s.WriteKernelFile(f"{tmp_path}/none", ("1",), optional=True))

    with pytest.raises(FileNotFoundError):
        host.apply(s.WriteKernelFile(f"{tmp_path}/none", ("1",)))


def test_an_error_says_which_step_and_what_about() -> None:
    err = host.refusal(s.WriteKernelFile("/g/cpu.max", ("1 2",)), OSError(22, "Invalid argument"))

    assert (err.step, err.errno) == ("write kernel file", 22)
    assert err.message == "write kernel file 1 2 > /g/cpu.max: invalid argument"
