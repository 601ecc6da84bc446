import json
import re
from pathlib import Path

import pytest

from runtime.io.command.messages import Messages, now
from swarm.errors import Invalid


def test_errors_are_in_the_log_and_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = Messages(str(tmp_path / "log"), as_json=True)

    messages.warning("odd")
    messages.error("bad")

    levels = [json.loads(line)["level"] for line in (tmp_path / "log").read_text().splitlines()]
    assert levels == ["warning", "error"]
    assert capfd.readouterr().err == "bad\n"


def test_without_a_log_they_are_on_standard_error_once(capfd: pytest.CaptureFixture[str]) -> None:
    Messages().error("bad")

    assert re.fullmatch(r'time="[^"]+Z" level=error msg="bad"\n', capfd.readouterr().err)


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        Messages(str(tmp_path / "log")).warning("again")

    assert (tmp_path / "log").read_text().count("again") == 2


def test_debugging_is_silent_unless_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    Messages().debug("a")
    Messages(debug=True).debug("b")

    assert re.findall(r'msg="(.)"', capfd.readouterr().err) == ["b"]


def test_a_log_that_cannot_be_opened_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"--log: cannot open .*: no such file or directory"):
        Messages(str(tmp_path / "none" / "log"))


def test_time_is_rfc_3339() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", now())
