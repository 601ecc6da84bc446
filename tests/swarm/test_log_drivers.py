"""Docker's names say how output is kept, and nothing is taken that has no effect."""

import pytest

from swarm.errors import Invalid
from swarm.log_drivers import DEFAULT_BYTES, DEFAULT_FILES, Rotation, rotation
from swarm.specs import LogDriver


@pytest.mark.parametrize("name", ["", "json-file", "local"])
def test_files_rotate_unless_they_are_told_not_to(name: str) -> None:
    def kept(**options: str) -> Rotation | None:
        return rotation(
            LogDriver(name=name, options={k.replace("_", "-"): v for k, v in options.items()})
        )

    assert kept() == Rotation(max_bytes=DEFAULT_BYTES, max_files=DEFAULT_FILES)
    assert kept(max_size="64k") == Rotation(max_bytes=65536, max_files=DEFAULT_FILES)
    assert kept(max_size="-1", max_file="1") == Rotation(max_bytes=0, max_files=1)


def test_none_keeps_nothing() -> None:
    assert rotation(LogDriver(name="none")) is None


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("syslog", {}, "no log driver 'syslog'"),
        ("none", {"max-size": "1m"}, "none has no option"),
        ("json-file", {"compress": "true"}, "no option 'compress'"),
        ("json-file", {"max-size": "1"}, "less than 4096"),
        ("json-file", {"max-size": "big"}, "not a size"),
        ("json-file", {"max-file": "0"}, "1..1000"),
        ("json-file", {"max-file": "x"}, "1..1000"),
    ],
)
def test_what_has_no_effect_is_refused(name: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        rotation(LogDriver(name=name, options=options))
