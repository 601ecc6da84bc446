"""The installed script: what it finds, and what it loads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "packaging/swarm-runtime"


PATH = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=check, cwd="/", env=PATH)


def installed_in(environment: Path) -> Path:
    """Put the script beside a Python, as pip does."""
    programs = environment / "bin"
    programs.mkdir(parents=True)
    (programs / "python3").symlink_to(sys.executable)
    shutil.copy(SCRIPT, programs / "swarm-runtime")
    return programs / "swarm-runtime"


def packages_of(environment: Path) -> Path:
    found = environment / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    found.mkdir(parents=True)
    return found


def msgspec_directory() -> Path:
    import msgspec

    return Path(msgspec.__file__).parent


def test_the_script_runs_from_the_source_tree() -> None:
    assert run(SCRIPT, "--version").stdout.startswith("swarm-runtime version ")


def test_the_script_finds_installed_packages_through_a_link(tmp_path: Path) -> None:
    script = installed_in(tmp_path / "env")
    packages = packages_of(tmp_path / "env")
    for each in ("runtime", "swarm"):
        (packages / each).symlink_to(REPOSITORY / each)
    (packages / "msgspec").symlink_to(msgspec_directory())
    (tmp_path / "link").symlink_to(script)

    assert run(tmp_path / "link", "--version").stdout.startswith("swarm-runtime version ")


def test_the_script_finds_an_editable_installation(tmp_path: Path) -> None:
    script = installed_in(tmp_path / "env")
    packages = packages_of(tmp_path / "env")
    (packages / "_editable_impl_swarmd.pth").write_text(f"{REPOSITORY}\n")
    (packages / "msgspec").symlink_to(msgspec_directory())

    assert run(script, "--version").stdout.startswith("swarm-runtime version ")


def test_help_for_every_word_that_asks_for_it() -> None:
    for words in (("--help",), ("-h",), ("help",), ()):
        assert "usage: swarm-runtime [FLAG...] COMMAND" in run(SCRIPT, *words).stdout
    for words in (("help", "run"), ("run", "--help"), ("run", "-h")):
        assert "usage: swarm-runtime run" in run(SCRIPT, *words).stdout
    assert "complete -o default" in run(SCRIPT, "completion").stdout


def test_a_mistake_is_one_line_and_the_status_1() -> None:
    done = run(SCRIPT, "frob", check=False)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'no such command: \\"frob\\"' in done.stderr


def test_slow_modules_are_not_loaded() -> None:
    """Each of these takes milliseconds, of the few that a command has."""
    script = (
        "from runtime.light import load_msgspec; load_msgspec(); import sys\n"
        "import runtime.io.command.main, runtime.io.command.starting, runtime.io.command.joining\n"
        "print(*sys.modules)"
    )

    loaded = set(run(sys.executable, "-IS", "-c", f"{paths()}; {script}").stdout.split())

    slow = {"argparse", "asyncio", "ast", "dataclasses", "inspect", "json", "logging", "pathlib"}
    slow |= {"platform", "shutil", "structlog", "subprocess", "tempfile", "threading", "uuid"}
    assert "runtime.io.spawning" in loaded
    assert not slow & loaded


def paths() -> str:
    return f"import sys; sys.path += [{str(REPOSITORY)!r}, {str(msgspec_directory().parent)!r}]"
