"""In processes of their own, since modules are loaded once."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(script: str) -> str:
    words = [
        sys.executable,
        "-c",
        f"from runtime.light import load_msgspec\nload_msgspec()\n{script}",
    ]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_is_not_needed_is_not_loaded() -> None:
    loaded = run("import sys; print(' '.join(sys.modules))").split()

    assert "msgspec._core" in loaded
    assert not {"platform", "_decimal", "textwrap", "typing_extensions", "uuid"} & set(loaded)


def test_whoever_needs_the_real_ones_gets_them() -> None:
    assert run("import uuid; print(uuid.UUID(int=1))").endswith("000001")
    assert run("import decimal; print(decimal.Decimal('1.5') * 2)") == "3.0"


def test_values_are_read_and_written_as_ever() -> None:
    script = """
import msgspec
from runtime.oci.config import Config, Root
config = Config(oci_version="1.2.0", root=Root(path="r"))
text = msgspec.json.encode(config)
print(msgspec.json.decode(text, type=Config) == config, msgspec.to_builtins(config))
"""
    assert run(script).startswith("True {'ociVersion': '1.2.0'")


@pytest.mark.parametrize("broken", ["uuid", "decimal"])
def test_a_version_that_needs_more_is_loaded_the_usual_way(broken: str) -> None:
    script = f"""
import runtime.light as light
light._EMPTY = {{"{broken}": ()}}
light.load_msgspec()
import msgspec
print(msgspec.json.encode([1]))
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "b'[1]'"
