"""The direction of imports is the architecture; this keeps it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each root may import of the others.
ALLOWED = {
    "swarm": set[str](),
    "runtime": {"swarm"},
    "manager": {"swarm", "runtime"},
    "agent": {"swarm", "runtime"},
    "engine": {"swarm"},
    "swarmd": {"swarm", "runtime", "manager", "agent", "engine"},
    "swarmctl": {"swarm", "runtime", "manager", "agent", "engine"},
}


def modules(root: str) -> list[Path]:
    return [path for path in (ROOT / root).rglob("*.py") if "api" not in path.parts]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("root", ALLOWED)
def test_imports_point_inwards(root: str) -> None:
    outward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(root)
        for name in imported(path)
        if (top := name.partition(".")[0]) in ALLOWED and top not in {root, *ALLOWED[root]}
    ]

    assert not outward


@pytest.mark.parametrize("root", ALLOWED)
def test_only_io_and_main_modules_await(root: str) -> None:
    waiting = [
        str(path.relative_to(ROOT))
        for path in modules(root)
        if "io" not in path.parts
        and path.name != "main.py"
        and any(
            isinstance(node, ast.AsyncFunctionDef | ast.Await)
            for node in ast.walk(ast.parse(path.read_text()))
        )
        and not _only_declares(path)
    ]

    assert not waiting


def _only_declares(path: Path) -> bool:
    """Whether every async function is a Protocol's: a signature without a body."""
    return all(
        isinstance(node.body[-1], ast.Expr) and isinstance(node.body[-1].value, ast.Constant)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("root", ALLOWED)
def test_the_core_does_not_import_its_shell(root: str) -> None:
    leaking = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(root)
        if "io" not in path.parts and path.name != "main.py" and root != "swarmctl"
        for name in imported(path)
        if ".io." in f"{name}." and name.partition(".")[0] in ALLOWED
    ]

    assert not leaking
