"""In processes of their own, since modules are loaded once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "runtime/gathered.py"
SCRIPT = """
import sys
sys.path.insert(0, "{tree}")
from runtime import gathered
modules = gathered.install()
import thing, thing.part
print(thing.VALUE, thing.part.VALUE, thing.__file__, thing.__path__, len(modules.entries))
print(sum(each.__spec__.loader is modules for each in (thing, thing.part)))
gathered.keep(modules)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A `runtime` with nothing else in it, and a package to be loaded."""
    for name, files in (
        ("runtime", {"__init__.py": ""}),
        ("thing", {"__init__.py": "VALUE = 1\n", "part.py": "VALUE = 2\n"}),
    ):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    shutil.copy(SOURCE, tmp_path / "runtime/gathered.py")
    return tmp_path


def run(tree: Path) -> list[str]:
    """What the package says, and how many of its modules came from the file."""
    words = [sys.executable, "-IS", "-c", SCRIPT.format(tree=tree)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.split()


def file_of(tree: Path) -> Path:
    (found,) = (tree / "runtime/__pycache__").glob(f"gathered-*.{sys.implementation.cache_tag}")
    return found


def test_what_was_loaded_once_comes_from_the_file(tree: Path) -> None:
    first, second = run(tree), run(tree)

    assert first[:3] == second[:3] == ["1", "2", f"{tree}/thing/__init__.py"]
    assert second[3] == f"['{tree}/thing']"
    assert (first[-1], second[-1]) == ("0", "2")


def test_the_file_is_written_when_there_is_news_only(tree: Path) -> None:
    run(tree)
    before = file_of(tree).stat()
    run(tree)

    assert file_of(tree).stat().st_ino == before.st_ino
    assert [each.name for each in file_of(tree).parent.iterdir() if ".pyc" not in each.name] == [
        file_of(tree).name
    ]


def test_a_source_that_changes_is_believed(tree: Path) -> None:
    run(tree)
    (tree / "thing/part.py").write_text("VALUE = 30\n")

    changed = run(tree)

    assert changed[:2] == ["1", "30"]
    assert changed[-1] == "1"
    assert run(tree)[-1] == "2"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{"])
def test_a_file_that_is_none_is_as_no_file(tree: Path, content: bytes) -> None:
    run(tree)
    file_of(tree).write_bytes(content)

    assert run(tree)[:2] == ["1", "2"]
    assert run(tree)[-1] == "2"


def test_a_file_that_others_could_have_written_is_not_read(tree: Path) -> None:
    run(tree)
    file_of(tree).chmod(0o666)

    assert run(tree)[-1] == "0"


def test_where_nothing_can_be_written_all_is_as_before(tree: Path) -> None:
    shutil.rmtree(tree / "runtime/__pycache__", ignore_errors=True)
    (tree / "runtime/__pycache__").write_text("in the way")

    assert run(tree)[:2] == ["1", "2"]
    assert run(tree)[-1] == "0"
    assert sorted(each.name for each in (tree / "runtime").iterdir()) == [
        "__init__.py",
        "__pycache__",
        "gathered.py",
    ]
