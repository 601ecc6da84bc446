"""Whatever a config.json says, `swarm-runtime` answers in words and leaves nothing.

Valid bundles are broken in one to three places: a property goes, is replaced by a value of
another kind, by one at the edge of its kind, or appears where it means something else. What is
still valid has to run. FUZZ=n tries n of them instead of a hundred.
"""

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.kernel.bundles import Bundles
from tests.kernel.machine import PATIENCE, wait_for
from tests.kernel.test_command_faults import large

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(3600)]

EXAMPLES = int(os.environ.get("FUZZ", "100" if PATIENCE == 1 else "10"))
# What would touch the host beyond the test's reach, or is somebody else's to find out.
KEPT = (("root", "path"), ("linux", "cgroupsPath"), ("ociVersion",))
EDGES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 0.5, "", "/", "..", "a/../b",
    "\0", "x" * 300, "x" * 5000, "\ud7ff", "%n", [], {}, [None], [[]], {"": ""}, ["x"], [{}],
    "host", "pid",
]  # fmt: skip


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a config."""
    found: list[tuple[Any, ...]] = [prefix] if prefix else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*prefix, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += paths(inner, (*prefix, number))
    return [path for path in found if path not in KEPT]


def broken(config: Any, path: tuple[Any, ...], how: str, value: Any) -> None:
    """Break one place, if it is still there."""
    for key in path[:-1]:
        if not isinstance(config, (dict, list)):
            return
        try:
            config = config[key]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if not isinstance(config, (dict, list)):
        return
    try:
        before = config[last]
    except (KeyError, IndexError, TypeError):
        return
    if how == "remove":
        del config[last]
    elif how == "replace":
        config[last] = value
    elif how == "repeat" and isinstance(before, list):
        config[last] = before * 2
    elif how == "insert" and isinstance(before, dict):
        before[value if isinstance(value, str) else "linux"] = copy.deepcopy(before)
    elif how == "reverse" and isinstance(before, list):
        before.reverse()


def is_harmless(config: Any) -> bool:
    """Whether running it can touch nothing of the host: it has all namespaces of its own."""
    linux = config.get("linux")
    namespaces = linux.get("namespaces") if isinstance(linux, dict) else None
    if not isinstance(namespaces, list):
        return False
    kinds = [each.get("type") for each in namespaces if isinstance(each, dict) and len(each) == 1]
    return all(kind in kinds for kind in ("pid", "network", "ipc", "uts", "mount"))


def test_law_any_config_is_answered_in_words_and_leaves_nothing(bundles: Bundles) -> None:
    valid = bundles.config("fuzz", "true")
    large(valid)
    places = paths(valid)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(places),
                st.sampled_from(["remove", "replace", "replace", "repeat", "insert", "reverse"]),
                st.sampled_from(EDGES),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def law(changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
        config: Any = copy.deepcopy(valid)
        for path, how, value in changes:
            broken(config, path, how, value)
        name = bundles.write("fuzz", config)
        assume(is_harmless(config))
        done = bundles.foreground(name, timeout_s=20 * PATIENCE)  # which looks for tracebacks
        said = json.dumps(changes, default=str) + "\n" + done.stderr
        assert done.returncode in (0, 1), said
        assert done.returncode == 0 or "failed: " in done.stderr, said
        assert "bug" not in done.stderr.lower(), said
        wait_for(f"nothing is left of {said}", lambda: bundles.leaks() == [])

    law()
